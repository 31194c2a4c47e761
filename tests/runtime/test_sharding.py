"""One truth: what is learnt does not depend on the number of devices, hosts or pieces."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import train_sharded as tiny
from free_port import free_port

from glam_jax.data import feeds
from glam_jax.runtime import loop, optim, sharding

pytestmark = pytest.mark.slow

# Name -> processes, devices of each.
PLACES = {"one": (1, 1), "four": (1, 4), "two_by_two": (2, 2)}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Place -> what the program learnt there; one place after the other."""
    program = pathlib.Path(__file__).parents[1].joinpath("train_sharded.py")
    folder, found = tmp_path_factory.mktemp("sharded"), {}
    for name, (processes, devices) in PLACES.items():
        environment = os.environ | {
            "PYTHONPATH": str(program.parents[1]),
            # Nothing here runs long: what is compiled need not be fast.
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
            "--xla_backend_optimization_level=0",
        }
        out, port = folder / f"{name}.npz", free_port()
        members = [[f"localhost:{port}", str(processes), str(k)] for k in range(processes)]
        running = [
            subprocess.Popen([sys.executable, str(program), str(out), *member], env=environment)
            for member in (members if processes > 1 else [[]])
        ]
        try:
            assert [process.wait(timeout=900) for process in running] == [0] * processes
        finally:
            for process in running:
                process.kill()
        found[name] = dict(np.load(out))
        assert (found[name]["hosts"], found[name]["devices"]) == (processes, processes * devices)
    return found


@pytest.mark.parametrize("place", ["four", "two_by_two"])
@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_curves_and_parameters_are_those_of_one_device(learnt, place, stage):
    """The curves hold the loss and the norm of the raw gradient, which Adam could hide."""
    expected, found = (
        {name: value for name, value in learnt[p].items() if name.startswith(stage)}
        for p in ("one", place)
    )
    assert expected.keys() == found.keys() and len(expected) > 10
    curves = f"{stage}_curves"
    assert expected[curves].shape == (tiny.STEPS, 2) and (expected[curves] > 0).all()
    np.testing.assert_allclose(found.pop(curves), expected.pop(curves), rtol=1e-5)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("place", ["four", "two_by_two"])
def test_what_becomes_of_a_world_does_not_depend_on_the_devices(learnt, place):
    names = [name for name in learnt["one"] if name.startswith("rollout")]
    assert len(names) == 6 and np.ptp(learnt["one"]["rollout_actions"]) > 0.5
    for name in names:
        np.testing.assert_array_equal(learnt[place][name], learnt["one"][name], err_msg=name)


PHYSICS = """
import jax, numpy as np
from glam_jax.evaluation.replay import replay
from glam_jax.sim.env import make_env

env, devices = make_env("lifting", "kinova", 16), jax.local_devices()
seeds, low, high = [1, 2, 3, 4, 5], *env.action_bounds
actions = [np.random.default_rng(seed).uniform(low, high, (8, 8)) for seed in seeds]
env.horizon, found = 8, []
for used in (devices, devices[:1]):
    jax.local_devices = lambda: used
    jax.local_device_count = lambda: len(used)
    found.append(replay(env, actions, seeds, batch=2).ee_position)
assert len(devices) == 2 and np.ptp(found[0], axis=1).max() > 1e-3
np.testing.assert_array_equal(*found)
"""


def test_physics_on_two_devices_are_those_of_one_to_the_last_bit():
    environment = os.environ | {
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        "JAX_NUM_CPU_DEVICES": "2",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    subprocess.run([sys.executable, "-c", PHYSICS], env=environment, check=True, timeout=900)


@pytest.fixture(scope="module", params=[tiny.stage1, tiny.stage2])
def stage(request):
    return request.param(tiny.settings(), *tiny.data())


def test_a_step_in_pieces_has_the_gradient_of_the_whole(stage):
    """In 4 pieces, of which not each has a drawn image, and none the batch's share of targets."""
    loss, feed, params, stats = stage
    descent = optax.sgd(1.0)  # the update is the gradient itself

    def step(pieces):
        step = loop.make_train_step(loss, feed.assemble, descent, 0.9, accumulate=pieces)
        constants = loop.constants_of(0, stats)
        return jax.jit(step)(optim.init_state(params, descent), feed.fetch(0), constants)

    (whole, expected), (pieces, found) = step(1), step(4)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        pieces.params,
        whole.params,
    )


@pytest.mark.parametrize("resident", [True, False])
def test_hosts_read_disjoint_shares_of_the_same_batches(resident):
    store, _ = tiny.data()
    feed = feeds.WindowFeed(store, feeds.Draw(8, 0.3, 0, resident), 2, "mask")
    for step in (0, 7):
        whole, *shares = (
            jax.jit(part.assemble)(part.fetch(step), step)
            for part in (feed, feed.only(np.arange(4)), feed.only(np.arange(4, 8)))
        )
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *shares)
        jax.tree.map(np.testing.assert_array_equal, joined, whole)


def test_without_several_devices_nothing_is_mapped():
    mesh, step, feed = sharding.all_devices(), object(), object()
    assert mesh.axis_names == ("data",) and mesh.size == jax.device_count() == 1
    assert sharding.over_devices(step, feed, mesh) == (step, feed)
    tree = {"a": jnp.ones(3)}
    assert sharding.local(tree) is tree
    np.testing.assert_array_equal(sharding.host_rows(mesh, 6), np.arange(6))


@pytest.mark.parametrize(
    "batch, accumulate, devices, near",
    [(130, 1, 4, "128 or 132"), (3, 1, 4, "4"), (100, 3, 8, "96 or 120"), (0, 1, 2, "2")],
)
def test_a_batch_that_does_not_divide_is_told_the_nearest_that_do(batch, accumulate, devices, near):
    with pytest.raises(sharding.BatchSizeError, match=f"pretrain.batch.*the nearest: {near}$"):
        sharding.check_batch("pretrain.batch", batch, accumulate, devices)
    nearest = int(near.split()[0])
    sharding.check_batch("pretrain.batch", nearest, accumulate, devices)
