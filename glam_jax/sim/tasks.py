"""The tasks: which objects, where things start, and when the task is done."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from glam_jax.sim.scenes import Box


class Start(NamedTuple):
    """How an episode starts, for R arms and N objects.

    Attributes:
      object_position: (N, 3) m.
      object_yaw: (N,) rad, about the vertical.
      tcp_position: (R, 3) m, the hand pointing down.
      tcp_yaw: (R,) rad, about the vertical.
    """

    object_position: jax.Array
    object_yaw: jax.Array
    tcp_position: jax.Array
    tcp_yaw: jax.Array


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
      name: registry key.
      arms: number of arms.
      objects: the manipulated objects; masks show these.
      sample: key -> `Start`, the same for every robot.
      condition: (object positions (N, 3), object rotations (N, 3, 3)) -> bool scalar.
      hold_steps: control steps for which the condition must hold without a break.
      horizon: most control steps of an episode.
    """

    name: str
    arms: int
    objects: tuple[Box, ...]
    sample: Callable[[jax.Array], Start]
    condition: Callable[[jax.Array, jax.Array], jax.Array]
    hold_steps: int
    horizon: int


CUBE = Box("cube", (0.025, 0.025, 0.025), 0.1, (0.85, 0.1, 0.1, 1.0))
LIFT_HEIGHT = 0.10  # m above where the cube rests


def uniform(key: jax.Array, low, high) -> jax.Array:
    """A uniform sample between `low` and `high`, which have equal shapes."""
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    return low + jax.random.uniform(key, low.shape) * (high - low)


def _sample_lifting(key):
    """Cube on the table, hand in the space above it.

    The hand starts far and wide, so that demonstrations approach the cube from everywhere and a
    policy that has drifted off still stands where some demonstration has been.
    """
    cube = uniform(jax.random.fold_in(key, 0), [0.35, -0.20, -jnp.pi / 4], [0.60, 0.20, jnp.pi / 4])
    hand = uniform(jax.random.fold_in(key, 1), [0.38, -0.14, 0.17, -0.4], [0.52, 0.14, 0.32, 0.4])
    position = jnp.stack([cube[0], cube[1], jnp.float32(CUBE.half_size[2])])
    return Start(position[None], cube[2:], hand[None, :3], hand[3:])


def _is_lifted(position, rotation):
    del rotation
    return position[0, 2] >= CUBE.half_size[2] + LIFT_HEIGHT


TASKS = {
    "lifting": Task(
        name="lifting",
        arms=1,
        objects=(CUBE,),
        sample=_sample_lifting,
        condition=_is_lifted,
        hold_steps=10,
        horizon=160,
    ),
}
