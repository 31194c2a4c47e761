"""Lifting: hold a 6.5 cm cube 10 cm above the table for half a second."""

import jax
import jax.numpy as jnp

from glam_jax.sim import scenes
from glam_jax.sim.tasks import cube
from glam_jax.sim.tasks.path import (
    Move,
    Path,
    duration,
    is_within_reach,
    nearest_quarter_turn,
    through,
    within_reach,
)
from glam_jax.sim.tasks.task import Situation, Start, Task, first_clear, uniform

HALF = 0.0325  # m, half an edge of the cube: open fingers have 1 cm to spare on each side
HEIGHT = 0.10  # m above where the cube rests
NEAREST = 0.34  # m, of the cube from the arm's foot


def sample(key: jax.Array) -> Start:
    """Cube anywhere before the arm, hand in the space above it.

    Far and wide, so that 100 demonstrations leave gaps between them, approach the cube from
    everywhere, and a policy that has drifted off still stands where some demonstration has been.
    """
    place = first_clear(jax.random.fold_in(key, 0), _draw_cube, _is_reached)
    hand = uniform(jax.random.fold_in(key, 1), [0.38, -0.20, 0.17, -0.4], [0.52, 0.20, 0.32, 0.4])
    position = jnp.stack([place[0], place[1], jnp.float32(HALF)])
    return Start(position[None], place[2:], hand[None, :3], hand[3:])


def _draw_cube(key):
    """(x, y, yaw) of the cube."""
    return uniform(key, [0.30, -0.34, -cube.TURN], [0.60, 0.34, cube.TURN])


def _is_reached(place):
    away = jnp.linalg.norm(place[:2])
    return (away >= NEAREST) & is_within_reach(place[:2])


def is_lifted(now: Situation) -> jax.Array:
    """The cube is high enough."""
    return now.position[0, 2] >= HALF + HEIGHT


def plan(key: jax.Array, start: Start, steps: int) -> Path:
    """Reach over the cube, descend, close, lift.

    Varied: `cube.Grasp`, and speed, height and drift of the lift.
    """
    grasp = cube.draw(jax.random.fold_in(key, 0), cube.LEAST, cube.MOST)
    low, high = [0.13, 0.16, -0.05, -0.05], [0.20, 0.22, 0.05, 0.05]
    speed, height, *drift = uniform(jax.random.fold_in(key, 1), low, high)
    home, yaw = start.tcp_position[0], nearest_quarter_turn(start.object_yaw[0], 0.0)
    moves = cube.take_hold(grasp, home, start.object_position[0], yaw)
    held = moves[-1].position
    top = within_reach(held + jnp.stack([*drift, height]))
    moves.append(Move(top, yaw, duration(held, top, speed, 16.0), 0.0))
    return through(home, start.tcp_yaw[0], moves, steps)


LIFTING = Task(
    name="lifting",
    arms=1,
    objects=(cube.cube("cube", half=HALF),),
    sample=sample,
    condition=is_lifted,
    hold_steps=10,
    horizon=180,
    plan=plan,
    plan_steps=140,
    cameras=scenes.WIDE,
)
