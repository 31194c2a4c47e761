"""Knocking down: the bottle's two sides, when it counts as lying, starts and the expert."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from demonstrated import demonstrations

from glam_jax.sim import experts
from glam_jax.sim.env import Env, make_env
from glam_jax.sim.robots import ROBOTS
from glam_jax.sim.tasks.knock_down import (
    BODY,
    GAP,
    KNOCK_DOWN,
    NARROW,
    REACHED,
    TOP,
    WIDE,
    is_lying,
    plan,
    push_direction,
    sample,
)
from glam_jax.sim.tasks.path import Move, through
from glam_jax.sim.tasks.task import Situation, Start, uniform

PUSHES = 25
PAD = 0.018  # m, half the height of the pads
both_robots = pytest.mark.parametrize("robot", ["kinova", "umi"])


def bottle_of(env, trajectory):
    """Of the bottle's body over time: centres (T, 3) m and tilt from the vertical (T,) rad."""
    geom = env.mj_model.geom("bottle").id
    positions, rotations = (array[:, geom] for array in trajectory.sight[:2])
    return positions, np.arccos(np.clip(rotations[:, 2, 2], -1.0, 1.0))


# ------------------------------------------------------------------------ the bottle


def struck_start(key):
    """Hand beside the bottle at push height: seeds 2 n and 2 n + 1 differ in the side struck."""
    seed = jax.random.key_data(key)[-1]
    draw = uniform(jax.random.key(seed // 2), [-0.004, 0.100], [0.004, 0.112])
    yaw = jnp.where(seed % 2 == 0, 0.0, jnp.pi / 2)
    half = jnp.where(seed % 2 == 0, NARROW, WIDE)
    bottle = jnp.stack([0.45 + draw[0], half - 0.06, jnp.float32(BODY)])
    hand = jnp.stack([jnp.float32(0.45), jnp.float32(-0.1), draw[1]])
    return Start(bottle[None], yaw[None], hand[None], jnp.zeros(1))


def straight_push(key, start, steps):
    """11 cm along y in 0.9 s, closed."""
    del key
    home = start.tcp_position[0]
    closed = Move(home, start.tcp_yaw[0], jnp.float32(10.0), 0.0)
    push = Move(home.at[1].add(0.11), start.tcp_yaw[0], jnp.float32(18.0), 0.0)
    return through(home, start.tcp_yaw[0], [closed, push], steps)


@pytest.fixture(scope="module")
def struck():
    """The same pushes on the narrow and on the wide axis: ends as (y, tilt), (PUSHES, 2) each."""
    task = dataclasses.replace(
        KNOCK_DOWN, sample=struck_start, plan=straight_push, plan_steps=70, hold_steps=1000
    )
    env = Env(task, ROBOTS["umi"], 16)
    ends = []
    for trajectory in experts.simulate(env, np.arange(2 * PUSHES)):
        positions, tilt = bottle_of(env, trajectory)
        ends.append((positions[-1, 1] - positions[0, 1], tilt[-1]))
    return np.array(ends[::2]), np.array(ends[1::2])


@pytest.mark.slow
def test_a_push_across_the_narrow_side_fells_the_bottle(struck):
    narrow, _ = struck
    assert np.all(np.abs(narrow[:, 1] - np.pi / 2) < 0.1), narrow


@pytest.mark.slow
def test_the_same_push_along_the_wide_side_slides_it_standing(struck):
    _, wide = struck
    assert np.all(wide[:, 1] < 0.1), wide
    assert np.all(wide[:, 0] > 0.05), wide  # and it did strike


@pytest.mark.parametrize(("degrees", "lies"), [(0, 0), (30, 0), (59, 0), (61, 1), (90, 1)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_lying_is_a_tilt_of_more_than_60_degrees(degrees, lies, axis, yaw):
    tilt = np.deg2rad(degrees)
    c, s, other = np.cos(tilt), np.sin(tilt), 1 - axis
    turned = np.eye(3)
    turned[other, other], turned[other, 2], turned[2, other], turned[2, 2] = c, s, -s, c
    heading = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    now = Situation(
        position=jnp.array([[0.45, 0.0, BODY]]),
        rotation=jnp.asarray(heading @ turned)[None],
        velocity=jnp.zeros((1, 3)),
        tcp_position=jnp.zeros((1, 3)),
        opening=jnp.zeros(1),
    )
    assert bool(is_lying(now)) == bool(lies)


# ------------------------------------------------------------------ starts and plans


@pytest.fixture(scope="module")
def starts():
    return jax.vmap(lambda seed: sample(jax.random.key(seed)))(jnp.arange(500))


def test_hands_start_clear_of_bottles_that_stand_in_a_wide_range(starts):
    np.testing.assert_allclose(starts.object_position[:, 0, 2], BODY)
    assert np.all(starts.tcp_position[:, 0, 2] - PAD > TOP + 0.02)
    low = np.min(starts.object_position[:, 0, :2], axis=0)
    high = np.max(starts.object_position[:, 0, :2], axis=0)
    np.testing.assert_allclose(low, [0.36, -0.20], atol=0.01)
    np.testing.assert_allclose(high, [0.57, 0.20], atol=0.01)
    assert np.ptp(starts.object_yaw) > 2.0


def test_the_push_is_across_the_narrow_side_to_the_left_from_within_reach(starts):
    direction = jax.vmap(push_direction)(starts)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1.0, atol=1e-5)
    yaw = starts.object_yaw[:, 0]
    along = direction[:, 0] * np.cos(yaw) + direction[:, 1] * np.sin(yaw)
    np.testing.assert_allclose(along, 0.0, atol=1e-5)
    assert direction[:, 1].min() > 0.4
    begin = np.linalg.norm((starts.object_position[:, 0] - GAP * direction)[:, :2], axis=-1)
    assert REACHED - 0.01 < begin.max() < REACHED + 1e-4


def test_plans_stay_within_reach_closed_and_above_the_bottle_until_beside_it(starts):
    plans = jax.vmap(lambda key, start: plan(key, start, KNOCK_DOWN.plan_steps))
    path = plans(jax.random.split(jax.random.key(1), 500), starts)
    assert np.all(path.command == 0.0)
    assert np.linalg.norm(path.position[:, :, 0, :2], axis=-1).max() < 0.63
    bottle = starts.object_position
    towards = path.position[:, :, 0] - bottle
    yaw = starts.object_yaw
    across = np.abs(towards[..., 1] * np.cos(yaw) - towards[..., 0] * np.sin(yaw))
    # Before the push, a hand that is low is beside the bottle, further off than a pad's corner.
    low = path.position[:, :, 0, 2] - PAD < TOP + 0.01
    pushing = np.cumsum(low & (across < 0.08), axis=1) > 0
    assert np.all(across[low & ~pushing] >= 0.08)
    first = np.argmax(pushing, axis=1)
    heights = path.position[np.arange(500), first, 0, 2]
    assert np.all((heights > 0.109) & (heights < 0.121))


# ----------------------------------------------------------------------- the expert


@pytest.mark.parametrize("robot", ["kinova", "kinova_real", "umi"])
@pytest.mark.slow
def test_demonstrations_end_well_within_the_plan(robot):
    found = demonstrations("knock_down", robot)
    lengths = [len(t.success) for t in found if t.success[-1]]
    assert 40 < min(lengths) <= max(lengths) < make_env("knock_down", robot).plan_steps - 20


@both_robots
@pytest.mark.slow
def test_the_hand_first_touches_the_bottle_where_it_pushes(robot):
    env = make_env("knock_down", robot)
    for seed, trajectory in enumerate(demonstrations("knock_down", robot)):
        positions, tilt = bottle_of(env, trajectory)
        assert np.linalg.norm(positions[0] - positions[5]) < 2e-3  # it stands still by itself
        moved = np.linalg.norm(positions - positions[0], axis=-1) > 3e-3
        first = np.flatnonzero(moved | (tilt > 0.05))[0]
        x, y, height = trajectory.ee_pose[first, :3] - [*positions[0, :2], 0.0]
        yaw = sample(jax.random.key(seed)).object_yaw[0]
        along, across = x * np.cos(yaw) + y * np.sin(yaw), y * np.cos(yaw) - x * np.sin(yaw)
        assert abs(along) < 0.02, seed
        assert 0.01 < abs(across) < 0.06, seed
        assert 0.10 < height < 0.13, seed
