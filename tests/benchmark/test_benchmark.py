"""The benchmark: how it times, counts and compares. No test asks how fast anything is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from glam_jax import config
from glam_jax.benchmark import (
    case,
    clock,
    comparison,
    cost,
    machine,
    page,
    record,
    simulation,
    suite,
    training,
)
from glam_jax.benchmark.case import BenchmarkError, Case, Work
from glam_jax.benchmark.engines import NativeWorlds
from glam_jax.errors import UserError

ROOT = Path(__file__).parents[2]

# --- Timing -----------------------------------------------------------------------------


class Clock:
    """A clock that only the work moves on."""

    def __init__(self):
        self.now, self.ran = 0.0, 0

    def __call__(self):
        return self.now

    def work(self, *seconds):
        left = iter(seconds)

        def run():
            self.ran += 1
            self.now += next(left)

        return run


def test_warming_up_is_not_counted():
    time = Clock()
    found = clock.repeat(time.work(9, 1, 2, 3), repeats=3, warm_up=1, clock=time)
    assert found.seconds == (1.0, 2.0, 3.0)


def test_the_first_call_counts_where_nothing_warms_up():
    time = Clock()
    assert clock.repeat(time.work(9, 1), repeats=2, warm_up=0, clock=time).seconds == (9.0, 1.0)


def test_a_repeat_of_what_is_quick_is_several_calls():
    time = Clock()
    quick = time.work(*[clock.LEAST_S / 4] * 100)
    found = clock.repeat(quick, repeats=2, clock=time)
    assert time.ran == 1 + 2 * 4
    np.testing.assert_allclose(found.seconds, clock.LEAST_S / 4)


def test_a_limit_leaves_three_repeats():
    time = Clock()
    found = clock.repeat(time.work(*[5] * 9), repeats=8, limit_s=1.0, clock=time)
    assert len(found.seconds) == 3


def test_ratios_are_to_the_fixed_computation_on_both_sides():
    time = Clock()
    fixed = time.work(7, 7, 1, 3, 1)
    found = clock.repeat(time.work(9, 4, 6), repeats=2, reference=fixed, clock=time)
    assert found.reference == (1.0, 3.0, 1.0)
    assert found.ratios == (2.0, 3.0)


# --- Counting ---------------------------------------------------------------------------

A, B = jax.ShapeDtypeStruct((4, 5), jnp.float32), jax.ShapeDtypeStruct((5, 3), jnp.float32)


def test_a_matrix_product_by_hand():
    found = cost.count(jnp.matmul, A, B)
    assert found == cost.Cost(2.0 * 4 * 5 * 3, 4.0 * (20 + 15 + 12), at_least=False)
    xla = jax.jit(jnp.matmul).lower(A, B).cost_analysis()
    assert found.flops == xla["flops"]


def test_its_gradient_counts_two_more_products():
    def loss(a, b):
        return (a @ b).sum()

    assert cost.count(loss, A, B).flops == 120 + 12  # the sum counts what it adds
    both = cost.count(jax.value_and_grad(loss, (0, 1)), A, B)
    assert both.flops == 3 * 120 + 12


def test_a_convolution_by_hand():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((4, 4, 3, 7))
    assert cost.count(convolve, x, kernel).flops == 2 * (2 * 4 * 4 * 7) * (4 * 4 * 3)
    # The gradient to the input costs as much again: zeros that are put in between do not count.
    both = cost.count(jax.value_and_grad(lambda x: convolve(x, kernel).sum()), x)
    assert both.flops == pytest.approx(2 * cost.count(convolve, x, kernel).flops, rel=0.02)


def test_a_loop_counts_as_often_as_it_runs():
    def ten(x):
        return jax.lax.fori_loop(0, 10, lambda _, x: x @ x, x)

    square = jax.ShapeDtypeStruct((4, 4), jnp.float32)
    found = cost.count(ten, square)
    assert found.flops == pytest.approx(10 * 128, abs=20) and not found.at_least


def test_a_loop_of_unknown_length_is_a_lower_bound():
    def some(x):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x)

    assert cost.count(some, jnp.ones((4, 4))).at_least


def test_moving_data_counts_no_operations():
    found = cost.count(lambda x: jnp.concatenate([x.T, x.T]).reshape(-1), A)
    assert found == cost.Cost(0.0, 4.0 * (20 + 40))


def test_counted_is_the_step_that_trains():
    made = training.trainer("pretrain", small_config("pretrain"), made_up=True)
    found = made.cost()
    state = cost.nbytes(made.state)
    batch = cost.nbytes(made.batch)
    updates = made.updates
    assert found.bytes == updates * (2 * state + batch) and found.flops > 0


@pytest.mark.parametrize("stage", training.STAGES)
def test_convolutions_of_a_train_step_are_those_that_a_cpu_runs_fast(stage):
    """XLA puts convolutions into its CPU libraries' layout, but not those inside a loop, which then
    take some 20 times as long, as do those of inputs that lie apart."""
    made = training.trainer(stage, small_config(stage), made_up=True)
    program = jax.jit(made.step).lower(made.state, made.fetched, made.constants).as_text()
    found = [line for line in program.splitlines() if "stablehlo.convolution(" in line]
    assert found
    for line in found:
        assert "dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line
        assert "lhs_dilate = [1, 1]" in line


SMALL = {
    "visual": 8, "channels": (4, 4, 4, 4), "width": 8, "posterior_blocks": 1,
    "forward_blocks": 1, "proprio_blocks": 1, "decoder_layers": 2,
}  # fmt: skip


def small_config(stage):
    made = config.make("lifting", "scale=standard")
    made.image_size, made[stage].batch = 16, 4
    made.world_model.update(SMALL)
    return made


# --- Physics ----------------------------------------------------------------------------


def test_native_worlds_are_those_of_mujoco():
    env = simulation.env_of("lifting")
    model = env.mj_model
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    qpos, ctrl = np.stack([data.qpos] * 3), np.zeros((3, model.nu))
    ctrl[1, 0] = 0.1
    found = NativeWorlds(env, qpos).run(ctrl, 20)
    for world in range(3):
        data = mujoco.MjData(model)
        data.ctrl[:] = ctrl[world]
        for _ in range(20):
            mujoco.mj_step(model, data)
        np.testing.assert_allclose(found[world], data.qpos, atol=1e-9)


ASK_TWICE = """
import types, mujoco
from glam_jax.benchmark.engines import NativePictures
scene = types.SimpleNamespace(mj_model=mujoco.MjModel.from_xml_string("<mujoco/>"))
for _ in range(2):
    try:
        NativePictures(scene, 8)
        print("drawn")
    except RuntimeError as error:
        print("no OpenGL" if "no OpenGL" in str(error) else error)
"""


def test_opengl_that_is_missing_is_missing_again():
    """MuJoCo itself aborts a process that asks for a context a second time."""
    without = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-c", ASK_TWICE], env=without | {"MUJOCO_GL": "glfw"}, cwd=ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[-2:]  # MJX may speak before them
    assert first == second and first in ("drawn", "no OpenGL")


# --- Sizes and groups -------------------------------------------------------------------


def test_unknown_groups_and_sizes_say_what_is_known():
    with pytest.raises(BenchmarkError, match="unknown group rendering; known: stage1,.*startup"):
        suite.choose(["physics", "rendering"])
    assert suite.choose(["physics", "render"]) == ["render", "physics"]
    assert suite.choose([]) == list(suite.GROUPS)
    assert issubclass(BenchmarkError, UserError)  # so that it is one line
    with pytest.raises(BenchmarkError, match="--batches: found 'many'"):
        case.asked(True, batches=["64", "many"])


def test_batches_of_the_scales_that_are_asked_for():
    def batches(scales, *numbers):
        return case.asked(True, scales, batches=numbers).batches

    assert batches([]) == {"standard": (64,), "paper": ()}
    assert batches([], "4", "8") == {"standard": (4, 8), "paper": ()}
    assert batches(["paper"]) == {"standard": (), "paper": (8,)}
    with pytest.raises(BenchmarkError, match="unknown scale big; known: standard, paper"):
        batches(["big"])


def test_cases_are_chosen_by_a_regular_expression():
    sizes = case.asked(True, trials=["8", "1000"])
    found = suite.cases(["stage1", "evaluation"], sizes, "lifting/.*1000")
    assert [(one.name, one.items) for one in found] == [
        ("evaluation/lifting/1000 trials/20 steps", 1000)
    ]
    with pytest.raises(BenchmarkError, match=r"--match: '\(' is no regular expression"):
        suite.cases(["stage1"], sizes, "(")
    with pytest.raises(BenchmarkError, match=r"no case has 'x' in its name; there are\n  stage1/"):
        suite.cases(["stage1"], sizes, "x")


def test_names_of_cases_are_unique():
    for quick in (False, True):
        sizes = case.defaults(quick)
        names = [made.name for group in suite.GROUPS.values() for made in group(sizes)]
        assert len(set(names)) == len(names)
        assert {name.split("/")[0] for name in names} == set(suite.GROUPS)


# --- Comparing --------------------------------------------------------------------------

HERE = {
    "processor": "one",
    "cores": 2,
    "device": "cpu (cpu)",
    "devices": 1,
}
CEILINGS = {"flops_per_s": {"float32": 100.0, "bfloat16": 200.0}, "bytes_per_s": 10.0}


def row(name, seconds, work_cost=None):
    timing = clock.Timing((seconds,) * 3, (2.0,) * 4)
    made = Case(name, "image", 10, lambda: None)
    return record.row(made, Work(lambda: None, work_cost), timing, CEILINGS)


def results(machine=HERE, **seconds):
    rows = [row(name.replace("_", "/"), value) for name, value in seconds.items()]
    return {"format": record.FORMAT, "machine": machine, "measurements": rows}


def test_a_row_by_hand():
    found = row("render/x", 4.0, cost.Cost(80.0, 20.0))
    assert found["per_second"] == 2.5
    assert found["ratio"]["median"] == pytest.approx(4.0 / 2.0 / 10)
    assert found["flops_share"] == pytest.approx(80 / 4 / 100)
    assert found["bytes_share"] == pytest.approx(20 / 4 / 10)
    assert "flops" not in row("physics/mujoco", 4.0)


def test_only_what_is_worse_than_the_tolerance_is():
    old = results(render_a=1.0, render_b=1.0, render_c=1.0)
    new = results(render_a=1.29, render_b=1.31, render_c=0.5)
    text, worse = comparison.compare(old, new, 0.3)
    assert worse == ["render/b"] and "warning" not in text
    assert "+31%" in text and "worse by more than 30%: render/b" in text
    assert comparison.compare(old, new, 0.4)[1] == []


def test_what_only_one_has_is_named():
    old = results(render_a=1.0, render_b=1.0, physics_a=1.0)
    new = results(render_a=1.0, render_c=1.0)
    text, _ = comparison.compare(old, new, 0.3)
    assert "measured before, not now: render/b" in text
    assert "measured now, not before: render/c" in text
    assert "physics" not in text  # a group that was not asked for


def test_another_machine_is_warned_of():
    other = {**HERE, "processor": "two", "cores": 4}
    text, _ = comparison.compare(results(render_a=1.0), results(other, render_a=1.0), 0.3)
    assert "another machine" in text and "cores: 2 there, 4 here" in text
    assert machine.differences(HERE, HERE) == []


def test_what_an_older_file_does_not_say_is_no_difference():
    assert machine.differences({"cores": 2}, HERE) == []


def test_nothing_in_common_is_an_error():
    with pytest.raises(BenchmarkError, match="nothing to compare"):
        comparison.compare(results(render_a=1.0), results(render_b=1.0), 0.3)


def test_a_failed_case_is_shown_and_not_compared():
    made = Case("render/b", "image", 1, lambda: None)
    new = results(render_a=1.0)
    new["measurements"].append(record.failed(made, "out of memory"))
    text, _ = comparison.compare(results(render_a=1.0, render_b=1.0), new, 0.3)
    assert "measured before, not now: render/b" in text
    about = {
        "about": {},
        "ceilings": {"flops_per_s": {"float32": 1e9}, "bytes_per_s": 1e9},
        "reference": "a product",
        "machine": {**HERE, "python": "3", "packages": {}},
    }
    text = page.markdown({**new, **about})
    assert "| render/b | out of memory |" in text


@pytest.mark.parametrize(
    ("text", "what"),
    [("{", "is not JSON"), ('{"loss": 1}', "it lacks format"), ("[]", "no benchmark's")],
)
def test_files_that_are_no_benchmark_are_named(tmp_path, text, what):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(UserError, match=what):
        record.read(path)


# --- Side by side ------------------------------------------------------------------------


def paired(bar, ours, theirs):
    timing = clock.Timing((ours,) * 3, (theirs,) * 4)
    made = Case("side_by_side/render 64 px/other", "image", 10, lambda: None)
    work = Work(lambda: None, rival=lambda: None, bar=bar)
    return record.row(made, work, timing, CEILINGS)


def test_a_pair_by_hand():
    found = paired(2.0, ours=1.0, theirs=3.0)
    assert found["beside"]["times"]["median"] == pytest.approx(3.0)
    assert found["beside"]["reached"] and found["per_second"] == 10.0
    assert not paired(4.0, ours=1.0, theirs=3.0)["beside"]["reached"]
    assert "reached" not in paired(None, ours=1.0, theirs=3.0)["beside"]


def test_pairs_have_a_table_of_their_own():
    rows = [row("render/a", 1.0), paired(2.0, 1.0, 3.0), paired(4.0, 1.0, 3.0)]
    rows.append(record.failed(Case("side_by_side/x/torch", "image", 1, lambda: None), "no torch"))
    about = {
        "about": {},
        "ceilings": {"flops_per_s": {"float32": 1e9}, "bytes_per_s": 1e9},
        "reference": "a product",
        "machine": {**HERE, "python": "3", "packages": {}},
    }
    text = page.markdown({**results(), **about, "measurements": rows})
    alone, pairs = text.split("Side by side")
    assert "render/a" in alone and "render/a" not in pairs
    line = "| render 64 px | other | 10 images | 3.33 | 3 (3 to 3) | "
    assert line + "2 | reached |" in pairs and line + "4 | missed |" in pairs
    assert "| x | torch | no torch |" in pairs


def test_what_is_missing_costs_its_row_alone():
    def missing():
        raise case.Unavailable("needs a library")

    def present():
        return Work(lambda: None, rival=lambda: None)

    cases = [Case("side_by_side/a/b", "x", 1, missing), Case("side_by_side/a/c", "x", 1, present)]
    sizes = case.defaults(quick=True)
    lost, found = suite.measured(cases, sizes, CEILINGS)
    assert lost["error"] == "needs a library" and found["beside"]["times"]["median"] > 0


# --- The command ------------------------------------------------------------------------


def benchmark(*arguments):
    command = [sys.executable, "-m", "glam_jax.benchmark", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_measures_writes_and_compares(tmp_path):
    done = benchmark("--quick", "--only=data", "--batches=4", f"--out={tmp_path}")
    assert done.returncode == 0, done.stderr
    found = record.read(tmp_path / suite.JSON)
    assert [one["name"].split("/")[0] for one in found["measurements"]] == ["data"] * 4
    for one in found["measurements"]:
        assert one["bytes"] > 0 and one["ratio"]["median"] > 0
        assert len(one["seconds"]["repeats"]) >= 3
    text = (tmp_path / suite.MARKDOWN).read_text()
    assert all(one["name"] in text for one in found["measurements"]) and text in done.stdout
    assert not list(tmp_path.glob(".*"))

    # The same measured again, ten times slower.
    for one in found["measurements"][:1]:
        one["ratio"]["median"] *= 10
    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps(found))
    done = benchmark(f"--compare={tmp_path / suite.JSON}", f"--measured={slow}")
    assert done.returncode == 1 and "worse by more than 30%: data/windows" in done.stdout
