"""Lifting: hold a cube 10 cm above the table for half a second."""

import jax
import jax.numpy as jnp

from glam_jax.sim.tasks import cube
from glam_jax.sim.tasks.path import (
    Move,
    Path,
    duration,
    nearest_quarter_turn,
    through,
    within_reach,
)
from glam_jax.sim.tasks.task import Situation, Start, Task, uniform

HEIGHT = 0.10  # m above where the cube rests


def sample(key: jax.Array) -> Start:
    """Cube on the table, hand in the space above it.

    The hand starts far and wide, so that demonstrations approach the cube from everywhere and a
    policy that has drifted off still stands where some demonstration has been.
    """
    low, high = [0.35, -0.20, -cube.TURN], [0.60, 0.20, cube.TURN]
    place = uniform(jax.random.fold_in(key, 0), low, high)
    hand = uniform(jax.random.fold_in(key, 1), [0.38, -0.14, 0.17, -0.4], [0.52, 0.14, 0.32, 0.4])
    position = jnp.stack([place[0], place[1], jnp.float32(cube.HALF)])
    return Start(position[None], place[2:], hand[None, :3], hand[3:])


def is_lifted(now: Situation) -> jax.Array:
    """The cube is high enough."""
    return now.position[0, 2] >= cube.HALF + HEIGHT


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
    objects=(cube.cube("cube"),),
    sample=sample,
    condition=is_lifted,
    hold_steps=10,
    horizon=160,
    plan=plan,
    plan_steps=120,
    in_the_field=True,
)
