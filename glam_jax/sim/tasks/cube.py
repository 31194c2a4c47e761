"""The cube of 5 cm that most tasks are about, and how a hand takes hold of it."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from glam_jax.sim.scenes import Thing, box
from glam_jax.sim.tasks.path import Move, duration
from glam_jax.sim.tasks.task import uniform

HALF = 0.025  # m, half an edge
# Cubes turned by 45 degrees either way look the same, and the hand would have to turn by either:
# well short of that, what is seen says which.
TURN = math.pi / 8  # rad, most that a cube is turned either way


def cube(name: str, red: float = 0.85, green: float = 0.1, blue: float = 0.1) -> Thing:
    """A cube of 5 cm and 0.1 kg in a colour."""
    return box(name, (HALF, HALF, HALF), 0.1, (red, green, blue, 1.0))


class Grasp(NamedTuple):
    """How one demonstration takes hold of a cube; lengths in m, speeds in m/s.

    Attributes:
      above: height from which the hand descends. beside: (2,) sideways offset there.
      bow: detour on the way there. reach_speed, down_speed: of the moves.
      depth, along: where it closes, above the cube's centre and along the pads.
      dwell: control steps for closing.
    """

    above: jax.Array
    beside: jax.Array
    bow: jax.Array
    reach_speed: jax.Array
    down_speed: jax.Array
    depth: jax.Array
    along: jax.Array
    dwell: jax.Array


LEAST = Grasp(
    above=0.08, beside=[-0.02, -0.02], bow=-0.05, reach_speed=0.14, down_speed=0.08,
    depth=-0.003, along=-0.004, dwell=4.0,
)  # fmt: skip
MOST = Grasp(
    above=0.14, beside=[0.02, 0.02], bow=0.05, reach_speed=0.22, down_speed=0.12,
    depth=0.006, along=0.004, dwell=6.99,
)  # fmt: skip


def draw(key: jax.Array, least: NamedTuple, most: NamedTuple) -> NamedTuple:
    """A manner between two, uniform in every value."""
    # One draw for all: every call of the generator is compiled anew, and that takes seconds.
    low, split = ravel_pytree(jax.tree.map(np.float32, least, is_leaf=_is_vector))
    high, _ = ravel_pytree(jax.tree.map(np.float32, most, is_leaf=_is_vector))
    return split(uniform(key, low, high))


def _is_vector(value):
    return isinstance(value, list)


def pinch(grasp: Grasp, centre: jax.Array, yaw: jax.Array) -> jax.Array:
    """Where the tcp is while the hand at heading `yaw` holds a cube centred at `centre` (3,)."""
    across = jnp.stack([grasp.along * jnp.cos(yaw), grasp.along * jnp.sin(yaw), grasp.depth])
    return centre + across


def take_hold(grasp: Grasp, home: jax.Array, centre: jax.Array, yaw: jax.Array) -> list[Move]:
    """Moves of a hand from `home` (3,): over a cube at `centre` (3,), down, and close."""
    held = pinch(grasp, centre, yaw)
    over = held.at[:2].add(grasp.beside).at[2].add(grasp.above)
    return [
        Move(over, yaw, duration(home, over, grasp.reach_speed, 14.0), 1.0, grasp.bow),
        Move(held, yaw, duration(over, held, grasp.down_speed, 10.0), 1.0),
        Move(held, yaw, jnp.floor(grasp.dwell), 0.0),
    ]
