"""Stacking two: put the red cube on the blue cube and take the hand away."""

import jax
import jax.numpy as jnp

from glam_jax.sim import scenes
from glam_jax.sim.tasks import cube, stacking
from glam_jax.sim.tasks.path import Path, is_within_reach, nearest_quarter_turn, through
from glam_jax.sim.tasks.task import Situation, Start, Task, first_clear, uniform

RED, BLUE = 0, 1
BASE = scenes.bases(1)[0]


def sample(key: jax.Array) -> Start:
    """Both cubes anywhere on the table with room for fingers, the hand in the space above."""
    cubes = first_clear(jax.random.fold_in(key, 0), _draw_cubes, _is_clear)
    hand = uniform(jax.random.fold_in(key, 1), [0.38, -0.14, 0.19, -0.4], [0.52, 0.14, 0.32, 0.4])
    position = jnp.concatenate([cubes[:, :2], jnp.full((2, 1), cube.HALF)], axis=1)
    return Start(position, cubes[:, 2], hand[None, :3], hand[3:])


def _draw_cubes(key):
    """(x, y, yaw) of each cube, (2, 3)."""
    low, high = [0.35, -0.20, -cube.TURN], [0.60, 0.20, cube.TURN]
    return uniform(key, [low] * 2, [high] * 2)


def _is_clear(cubes):
    apart = jnp.linalg.norm(cubes[RED, :2] - cubes[BLUE, :2]) > stacking.APART
    return apart & jnp.all(is_within_reach(cubes[:, :2], BASE))


def is_stacked(now: Situation) -> jax.Array:
    """Red rests on blue, and the open gripper has left it."""
    return stacking.rests_on(now, RED, BLUE) & stacking.has_left(now, 0, RED)


def plan(key: jax.Array, start: Start, steps: int) -> Path:
    """Grasp red, carry it over blue, lower it with its edges along blue's, open, leave upwards.

    `stacking.Manner` says what varies.
    """
    manner = stacking.draw_manner(key)
    red, blue = start.object_position
    home = start.tcp_position[0]
    yaws = nearest_quarter_turn(start.object_yaw, 0.0)
    picks = stacking.pick_up(manner, home, red, yaws[RED])
    goal = blue.at[2].add(2 * cube.HALF)
    places = stacking.put_down(manner, picks[-1].position, goal, yaws[BLUE], BASE)
    return through(home, start.tcp_yaw[0], picks + places, steps)


STACK_TWO = Task(
    name="stack_two",
    arms=1,
    objects=(cube.cube("red", 0.85, 0.1, 0.1), cube.cube("blue", 0.1, 0.2, 0.85)),
    sample=sample,
    condition=is_stacked,
    hold_steps=10,
    horizon=280,
    plan=plan,
    plan_steps=230,
    # The hand holds a cube (8 points, 2 pairs) and both cubes lie on something (8 points).
    contact_limits=scenes.ContactLimits(pairs=5, points=20),
)
