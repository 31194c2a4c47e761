"""stack_three: what counts as stacked, where things start, and two arms that never touch."""

import functools

import jax
import mujoco
import numpy as np
import pytest
import situations
from demonstrated import demonstrations

from glam_jax import config
from glam_jax.sim import scenes
from glam_jax.sim.env import make_env
from glam_jax.sim.robots import FINGER_TRAVEL
from glam_jax.sim.tasks import TASKS
from glam_jax.sim.tasks.stack_three import BLUE, GREEN, LEFT, RED, RIGHT, STACK_THREE

both_robots = pytest.mark.parametrize("robot", ["kinova", "umi"])
FAR = 0.1  # m, beyond which distances between geoms do not matter


# ------------------------------------------------------------------ task and start


@pytest.mark.parametrize(
    ("field", "index", "kept", "broken"),
    [
        ("position", GREEN, [0.019, 0, 0], [0.021, 0, 0]),
        ("position", GREEN, [0, 0, 0.009], [0, 0, 0.011]),
        ("position", BLUE, [0, 0.019, 0], [0, 0.021, 0]),
        ("position", BLUE, [0, 0, 0.009], [0, 0, 0.011]),
        ("velocity", RED, [0.049, 0, 0], [0.051, 0, 0]),
        ("velocity", GREEN, [0.049, 0, 0], [0.051, 0, 0]),
        ("opening", LEFT, -0.19, -0.21),
        ("opening", RIGHT, -0.19, -0.21),
        ("tcp_position", LEFT, [0, 0, -0.099], [0, 0, -0.101]),
        ("tcp_position", RIGHT, [0, 0, -0.099], [0, 0, -0.101]),
        ("tcp_position", LEFT, [0, 0.101, -0.3], [0, 0.099, -0.3]),  # beside blue
        ("tcp_position", RIGHT, [0, 0.101, -0.25], [0, 0.099, -0.25]),  # beside red
    ],
)
def test_each_threshold_decides(field, index, kept, broken):
    now = situations.stacked([BLUE, RED, GREEN], objects=3, arms=2)
    assert STACK_THREE.condition(now)
    assert STACK_THREE.condition(situations.moved(now, field, index, kept))
    assert not STACK_THREE.condition(situations.moved(now, field, index, broken))


@pytest.mark.parametrize("order", [[BLUE, GREEN, RED], [RED, BLUE, GREEN]])
def test_another_order_is_not_it(order):
    assert not STACK_THREE.condition(situations.stacked(order, objects=3, arms=2))


@functools.cache
def starts():
    keys = jax.vmap(jax.random.key)(np.arange(500))
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(STACK_THREE.sample))(keys))


def test_cubes_start_apart_and_each_arm_reaches_its_own():
    place, feet = starts().object_position[:, :, :2], scenes.bases(2)[:, :2]
    for one, other in ((RED, GREEN), (RED, BLUE), (GREEN, BLUE)):
        assert np.linalg.norm(place[:, one] - place[:, other], axis=-1).min() >= 0.115
    for arm, things in ((LEFT, [RED, BLUE]), (RIGHT, [GREEN, BLUE])):
        assert np.linalg.norm(place[:, things] - feet[arm], axis=-1).max() <= 0.62


def test_starts_are_wide():
    spread = np.ptp(starts().object_position[:, :, :2], axis=0)
    assert np.all(spread[[RED, GREEN]] > [0.18, 0.12])
    assert np.all(spread[BLUE] > [0.10, 0.07])
    assert np.all(np.ptp(starts().tcp_position, axis=0) > [0.13, 0.05, 0.10])
    assert np.all(np.ptp(starts().object_yaw, axis=0) > 0.7)


def test_the_latent_has_8_dimensions_an_arm():
    for name, task in TASKS.items():
        assert config.make(name).world_model.latent == 8 * task.arms


# ------------------------------------------------------------------ demonstrations


@both_robots
@pytest.mark.slow
def test_demonstrations_end_well_within_the_plan(robot):
    lengths = [len(t.success) for t in demonstrations("stack_three", robot) if t.success[-1]]
    assert min(lengths) > 180 and max(lengths) < STACK_THREE.plan_steps - 10


def arm_geoms(model, arm):
    """Indices of all geoms of an arm."""
    names = [model.body(body).name for body in model.geom_bodyid]
    return np.array([g for g, name in enumerate(names) if name.startswith(f"arm{arm}_")])


def least_distance(model, data, sight, ours, theirs):
    """Least distance in m, at most `FAR`, of two sets of geoms every 200 ms."""
    positions, rotations = sight.geom_xpos[::4], sight.geom_xmat[::4]
    centres = positions[:, ours, None] - positions[:, None, theirs]
    bound = model.geom_rbound[ours][:, None] + model.geom_rbound[theirs]
    near = np.argwhere(np.linalg.norm(centres, axis=-1) - bound < FAR)
    least, between = FAR, np.zeros(6)
    for step, one, other in near:
        data.geom_xpos[:] = positions[step]
        data.geom_xmat[:] = rotations[step].reshape(-1, 9)
        pair = ours[one], theirs[other]
        least = min(least, mujoco.mj_geomDistance(model, data, *pair, FAR, between))
    return least


@both_robots
@pytest.mark.slow
def test_the_arms_never_come_close(robot):
    model = make_env("stack_three", robot).mj_model
    data = mujoco.MjData(model)
    left, right = arm_geoms(model, LEFT), arm_geoms(model, RIGHT)
    green = np.array([model.geom("green").id])
    for trajectory in demonstrations("stack_three", robot)[:10]:
        apart = least_distance(model, data, trajectory.sight, left, right)
        assert apart > 0.01
        # Nor does left ever touch green, which is right's to carry.
        assert least_distance(model, data, trajectory.sight, left, green) > 0.01


def contacts(env, trajectory, step):
    """How many contact points C MuJoCo, which knows no limits, finds at a step."""
    model, data = env.mj_model, mujoco.MjData(env.mj_model)
    arms = trajectory.proprio[step].reshape(2, 8)
    fingers = np.repeat(arms[:, 7:] * FINGER_TRAVEL, 2, axis=1)
    free, quaternion = [], np.zeros(4)
    for thing in STACK_THREE.objects:
        geom = model.geom(thing.name).id
        mujoco.mju_mat2Quat(
            quaternion, trajectory.sight.geom_xmat[step, geom].ravel().astype(float)
        )
        free += [trajectory.sight.geom_xpos[step, geom], quaternion.copy()]
    data.qpos[:] = np.concatenate([np.concatenate([arms[:, :7], fingers], axis=1).ravel(), *free])
    mujoco.mj_forward(model, data)
    return data.ncon


@pytest.mark.slow
def test_contact_limits_lie_above_what_touches():
    env = make_env("stack_three", "kinova")
    trajectories = demonstrations("stack_three", "kinova")[:10]
    found = [contacts(env, t, step) for t in trajectories for step in range(0, len(t.success), 4)]
    assert 20 < max(found) < STACK_THREE.contact_limits.points
