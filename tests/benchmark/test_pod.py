"""Estimates of steps on many devices: the arithmetic by hand, and that the page shows it."""

import dataclasses
import pathlib

import pytest

from glam_jax import config
from glam_jax.benchmark import pod, record
from glam_jax.benchmark.case import BenchmarkError

ROOT = pathlib.Path(__file__).parents[2]
PAGE, RESULTS = ROOT / "docs" / "scaling.md", ROOT / "results" / "benchmarks"
# Groups of 4 devices, 2 on a host.
MACHINE = pod.Machine(
    group=4, link=100e9, network=10e9, link_hop=1e-6, network_hop=10e-6, host=2,
    read=1e9,
)  # fmt: skip
UPDATE = pod.Work(batch=64, gradients=80_000_000, row=1e5)


@pytest.mark.parametrize(
    ("devices", "milliseconds"),
    [
        (1, 0.0),
        (2, 2 * (40e6 / 100e9 + 1e-6) * 1e3),
        (4, 6 * (20e6 / 100e9 + 1e-6) * 1e3),
        # And 20 MB between two groups, half of it at a time.
        (8, 6 * (20e6 / 100e9 + 1e-6) * 1e3 + 2 * (10e6 / 10e9 + 10e-6) * 1e3),
    ],
)
def test_gradients_go_round_within_groups_and_then_between(devices, milliseconds):
    assert 1e3 * pod.all_reduce(80e6, devices, MACHINE) == pytest.approx(milliseconds)


def test_the_longest_part_makes_the_step():
    # 64 ms of computation; 2 hosts' devices read 2 * 64 rows of 100 kB in 12.8 ms.
    found = pod.step(UPDATE, 64, 4, MACHINE, 1000.0, resident=False)
    assert (found.compute, found.input) == pytest.approx((0.064, 0.0128))
    assert found.seconds == pytest.approx(0.064 + 6 * 201e-6) and found.bottleneck == "compute"
    slow = dataclasses.replace(MACHINE, read=1e8)
    found = pod.step(UPDATE, 64, 4, slow, 1000.0, resident=False)
    assert (found.seconds, found.bottleneck) == (pytest.approx(0.128), "input")
    assert pod.step(UPDATE, 64, 4, slow, 1000.0, resident=True).input == 0
    assert pod.step(UPDATE, 1, 8, MACHINE, 1000.0, resident=True).bottleneck == "exchange"


def test_a_table_has_both_ways_to_use_more_devices():
    rows = [line.split(" | ") for line in pod.table(UPDATE, MACHINE, 1000.0, True).split("\n")[2:]]
    assert [row[0] for row in rows] == ["| 1", "| 8", "| 64", "| 512"]
    assert rows[0][6] == rows[0][9] == "100%"
    whole = 64 / (64 + 3.226)  # 8 devices exchange 3.226 ms
    assert rows[1][6] == f"{whole:.0%}" and rows[1][9] == f"{8 / (8 + 3.226):.0%}"
    assert "does not divide" in rows[3][8]


def test_the_throughput_is_the_one_that_a_benchmark_measured():
    measured = config.make("lifting")
    with measured.unlocked():
        measured.clone.batch = 256
    results = record.read(RESULTS / "h100.json")
    rate = pod.measured(results, "clone", measured)
    assert rate == pytest.approx(125_727, abs=1)
    with pytest.raises(BenchmarkError, match="no 'stage1/standard/batch 128'; it has stage2/"):
        pod.measured(results, "pretrain", measured)


def test_the_page_shows_what_the_command_finds():
    made = config.make("lifting")
    with made.unlocked():
        made.clone.batch = 256
    update = pod.work("clone", made)
    assert update.batch == 256 and update.gradients > 8e6
    rate = pod.measured(record.read(RESULTS / "h100.json"), "clone", made)
    rows = pod.table(update, pod.MACHINES["h100"], rate, resident=True).split("\n")
    *_, last = (row.split(" | ") for row in rows)
    assert f"{last[6]} (policy)" in " ".join(PAGE.read_text().split())
