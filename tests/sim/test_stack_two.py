"""stack_two: what counts as stacked, where cubes start, and the expert."""

import demonstrated
import jax
import numpy as np
import pytest
import situations

from glam_jax.sim.env import make_env
from glam_jax.sim.tasks.stack_two import BLUE, RED, STACK_TWO

both_robots = pytest.mark.parametrize("robot", ["kinova", "umi"])


def demonstrations(robot):
    return demonstrated.demonstrations("stack_two", robot)


def placed(trajectory, env, name):
    """Positions (T, 3) and rotations (T, 3, 3) of a cube."""
    geom = env.mj_model.geom(name).id
    return trajectory.sight.geom_xpos[:, geom], trajectory.sight.geom_xmat[:, geom]


@pytest.mark.parametrize(
    ("field", "index", "kept", "broken"),
    [
        ("position", RED, [0.019, 0, 0], [0.021, 0, 0]),
        ("position", RED, [0, -0.019, 0], [0, -0.021, 0]),
        ("position", RED, [0, 0, 0.009], [0, 0, 0.011]),
        ("position", RED, [0, 0, -0.009], [0, 0, -0.011]),
        ("velocity", RED, [0, 0, -0.049], [0, 0, -0.051]),
        ("opening", 0, -0.19, -0.21),
        ("tcp_position", 0, [0, 0, -0.099], [0, 0, -0.101]),
    ],
)
def test_each_threshold_decides(field, index, kept, broken):
    now = situations.stacked([BLUE, RED], objects=2, arms=1)
    assert STACK_TWO.condition(now)
    assert STACK_TWO.condition(situations.moved(now, field, index, kept))
    assert not STACK_TWO.condition(situations.moved(now, field, index, broken))


def test_blue_on_red_is_not_it():
    now = situations.stacked([RED, BLUE], objects=2, arms=1)
    assert not STACK_TWO.condition(now)


def test_a_hand_beside_the_cube_is_away():
    now = situations.stacked([BLUE, RED], objects=2, arms=1)
    assert STACK_TWO.condition(situations.moved(now, "tcp_position", 0, [0.11, 0, -0.2]))
    assert not STACK_TWO.condition(situations.moved(now, "tcp_position", 0, [0.09, 0, -0.2]))


def test_cubes_start_apart_within_reach_and_all_over_the_table():
    keys = jax.vmap(jax.random.key)(np.arange(500))
    start = jax.tree.map(np.asarray, jax.jit(jax.vmap(STACK_TWO.sample))(keys))
    place = start.object_position[:, :, :2]
    assert np.linalg.norm(place[:, RED] - place[:, BLUE], axis=-1).min() >= 0.115
    assert np.linalg.norm(place, axis=-1).max() <= 0.62
    np.testing.assert_allclose(start.object_position[:, :, 2], 0.025)
    for cube in (RED, BLUE):
        spread = place[:, cube].max(axis=0) - place[:, cube].min(axis=0)
        assert np.all(spread > [0.23, 0.37])


@both_robots
@pytest.mark.slow
def test_demonstrations_end_well_within_the_plan(robot):
    trajectories = demonstrations(robot)
    lengths = [len(t.success) for t in trajectories if t.success[-1]]
    assert min(lengths) > 100 and max(lengths) < STACK_TWO.plan_steps - 20


@both_robots
@pytest.mark.slow
def test_red_ends_on_blue_with_edges_along(robot):
    env = make_env("stack_two", robot)
    for trajectory in demonstrations(robot):
        if not trajectory.success[-1]:
            continue
        (red, red_turn), (blue, blue_turn) = (placed(trajectory, env, n) for n in ("red", "blue"))
        assert np.linalg.norm(red[-1] - blue[-1] - [0, 0, 0.05]) < 0.015
        relative = red_turn[-1].T @ blue_turn[-1]
        assert np.abs(relative[0, :2]).max() > np.cos(np.deg2rad(8))
        assert np.linalg.norm(blue[-1] - blue[0]) < 0.01  # it was left where it was
