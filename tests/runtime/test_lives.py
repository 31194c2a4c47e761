"""Killed at any moment, a run ends as if it had not been: on one host, on two, and in between."""

import chex
import jax
import numpy as np
import pytest
import train_lives
from nursery import KILLED, Nursery

from glam_jax.runtime import checkpoint, metrics

pytestmark = pytest.mark.slow

KILLS = 20


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def whole(nursery, tmp_path_factory):
    """What an uninterrupted run of one process learns."""
    folder = tmp_path_factory.mktemp("whole")
    assert nursery.run(folder) == [0]
    return learnt(folder)


@pytest.fixture(scope="module")
def whole_of_two(nursery, tmp_path_factory):
    """What one of two processes learns."""
    folder = tmp_path_factory.mktemp("whole_of_two")
    assert nursery.run(folder, processes=2) == [0, 0]
    return learnt(folder)


def learnt(folder) -> dict:
    """The final state and the curves, which hold every step once."""
    with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore_latest(jax.eval_shape(train_lives.make_state))
    assert found.step == train_lives.STEPS
    curves = {
        name: curve
        for name, curve in metrics.read_metrics(folder).items()
        if name in ("loss", "grad_norm")
    }
    for steps, _ in curves.values():
        np.testing.assert_array_equal(steps, np.arange(1, train_lives.STEPS + 1))
    return {"state": jax.device_get(found), "curves": curves}


def half_written(folder) -> list[str]:
    return [path.name for path in (folder / "checkpoints").glob("*-tmp")]


def said(folder, process) -> str:
    return (folder / f"process{process}.log").read_text()


def test_twenty_kills_at_random_moments_change_no_bit(nursery, whole, tmp_path):
    """A new run is begun where one gets to its end before the kills are used up."""
    rng = np.random.default_rng(0)
    kills = in_a_save = runs = 0
    while kills < KILLS:
        folder = tmp_path / str(runs)
        seconds = float(rng.choice([0.0, rng.uniform(0.0, 0.03)]))
        (status,) = nursery.run(folder, falls={0: [int(rng.integers(0, 90)), seconds]})
        assert status in (0, KILLED), said(folder, 0)
        if status == KILLED:
            kills += 1
            in_a_save += bool(half_written(folder))
        else:
            chex.assert_trees_all_equal(learnt(folder), whole)
            runs += 1
    if folder == tmp_path / str(runs):
        assert nursery.run(folder) == [0]
        chex.assert_trees_all_equal(learnt(folder), whole)
    assert in_a_save >= KILLS // 4


def test_two_hosts_killed_in_turn_end_as_if_they_had_not_been(nursery, whole_of_two, tmp_path):
    # Process 0 finalises a save, so it falls in one; process 1 falls between two of its steps.
    killed, other = nursery.run(tmp_path, processes=2, falls={0: [75, 0.0]})
    assert killed == KILLED and other != 0
    assert half_written(tmp_path)
    other, killed = nursery.run(tmp_path, processes=2, falls={1: [25, 0.0]})
    assert killed == KILLED and other != 0
    assert "tasks are unhealthy (stopped sending heartbeats):\n1\n" in said(tmp_path, 0)
    assert nursery.run(tmp_path, processes=2) == [0, 0]
    chex.assert_trees_all_equal(learnt(tmp_path), whole_of_two)
    assert len(list(tmp_path.glob("events*"))) == 3  # one a start: only process 0 writes


@pytest.mark.parametrize("failing", [0, 1])
def test_a_host_that_fails_ends_the_other_which_says_why(nursery, tmp_path, failing):
    assert nursery.run(tmp_path, processes=2, errors={failing: 7}) == [1, 1]
    assert "error: batch 7 is gone" in said(tmp_path, failing)
    why = f"error: process {failing} failed, and so must this one: OSError: batch 7 is gone"
    assert why in said(tmp_path, 1 - failing)


def test_a_run_goes_on_on_another_number_of_hosts(nursery, whole, whole_of_two, tmp_path):
    fall = {0: [120, 0.0]}
    assert nursery.run(tmp_path / "one_to_two", falls=fall) == [KILLED]
    assert nursery.run(tmp_path / "one_to_two", processes=2) == [0, 0]
    chex.assert_trees_all_close(learnt(tmp_path / "one_to_two"), whole, rtol=1e-5, atol=1e-5)

    assert nursery.run(tmp_path / "two_to_one", processes=2, falls=fall)[0] == KILLED
    assert nursery.run(tmp_path / "two_to_one") == [0]
    chex.assert_trees_all_close(learnt(tmp_path / "two_to_one"), whole, rtol=1e-5, atol=1e-5)

    # As many devices as before, all of one host: the sum of two is the same in any order.
    assert nursery.run(tmp_path / "same_devices", processes=2, falls=fall)[0] == KILLED
    assert nursery.run(tmp_path / "same_devices", devices=2) == [0]
    chex.assert_trees_all_equal(learnt(tmp_path / "same_devices"), whole_of_two)
