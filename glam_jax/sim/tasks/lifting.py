"""Lifting: hold a cube 10 cm above the table for half a second."""

import jax
import jax.numpy as jnp

from glam_jax.sim.scenes import box
from glam_jax.sim.tasks.path import (
    Move,
    Path,
    duration,
    nearest_quarter_turn,
    through,
    within_reach,
)
from glam_jax.sim.tasks.task import CUBE_TURN, Situation, Start, Task, uniform

HALF = 0.025  # m, half an edge of the cube
HEIGHT = 0.10  # m above where the cube rests


def sample(key: jax.Array) -> Start:
    """Cube on the table, hand in the space above it.

    The hand starts far and wide, so that demonstrations approach the cube from everywhere and a
    policy that has drifted off still stands where some demonstration has been.
    """
    cube = uniform(jax.random.fold_in(key, 0), [0.35, -0.20, -CUBE_TURN], [0.60, 0.20, CUBE_TURN])
    hand = uniform(jax.random.fold_in(key, 1), [0.38, -0.14, 0.17, -0.4], [0.52, 0.14, 0.32, 0.4])
    position = jnp.stack([cube[0], cube[1], jnp.float32(HALF)])
    return Start(position[None], cube[2:], hand[None, :3], hand[3:])


def is_lifted(now: Situation) -> jax.Array:
    """The cube is high enough."""
    return now.position[0, 2] >= HALF + HEIGHT


def plan(key: jax.Array, start: Start, steps: int) -> Path:
    """Reach over the cube, descend, close, lift.

    Varied: height and sideways offset of the approach, its bow, speeds, depth of the grasp and
    where along the pads, time to close, height and drift of the lift.
    """
    low = [0.08, -0.012, -0.012, -0.05, 0.14, 0.08, -0.003, -0.004, 4.0, 0.13, 0.16, -0.05, -0.05]
    high = [0.14, 0.012, 0.012, 0.05, 0.22, 0.12, 0.006, 0.004, 6.99, 0.20, 0.22, 0.05, 0.05]
    draw = uniform(key, low, high)
    above, offset, bow, reach_speed, down_speed = draw[0], draw[1:3], draw[3], draw[4], draw[5]
    depth, along, dwell, lift_speed, height = draw[6], draw[7], draw[8], draw[9], draw[10]
    cube, home = start.object_position[0], start.tcp_position[0]
    yaw = nearest_quarter_turn(start.object_yaw[0], 0.0)

    grasp = cube + jnp.stack([along * jnp.cos(yaw), along * jnp.sin(yaw), depth])
    over = grasp + jnp.stack([offset[0], offset[1], above])
    top = within_reach(grasp + jnp.stack([draw[11], draw[12], height]))
    moves = [
        Move(over, yaw, duration(home, over, reach_speed, 14.0), 1.0, bow),
        Move(grasp, yaw, duration(over, grasp, down_speed, 10.0), 1.0),
        Move(grasp, yaw, jnp.floor(dwell), 0.0),
        Move(top, yaw, duration(grasp, top, lift_speed, 16.0), 0.0),
    ]
    return through(home, start.tcp_yaw[0], moves, steps)


LIFTING = Task(
    name="lifting",
    arms=1,
    objects=(box("cube", (HALF, HALF, HALF), 0.1, (0.85, 0.1, 0.1, 1.0)),),
    sample=sample,
    condition=is_lifted,
    hold_steps=10,
    horizon=160,
    plan=plan,
    plan_steps=120,
)
