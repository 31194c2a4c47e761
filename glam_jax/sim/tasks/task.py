"""What a task is: its objects, where things start, when it is done, and how an expert does it."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from glam_jax.sim.scenes import NEAR, Camera, ContactLimits, Thing, wrist_views
from glam_jax.sim.tasks.path import Path

PLACEMENTS = 32  # draws of a start until objects lie clear of each other


class Start(NamedTuple):
    """How an episode starts, for R arms and N objects.

    Attributes:
      object_position: (N, 3) m.
      object_yaw: (N,) rad, about the vertical.
      tcp_position: (R, 3) m, the hands pointing down.
      tcp_yaw: (R,) rad, about the vertical.
    """

    object_position: jax.Array
    object_yaw: jax.Array
    tcp_position: jax.Array
    tcp_yaw: jax.Array


class Situation(NamedTuple):
    """What success is judged by, for R arms and N objects.

    Attributes:
      position: (N, 3) m. rotation: (N, 3, 3). velocity: (N, 3) m/s. Of the objects.
      tcp_position: (R, 3) m.
      opening: (R,) gripper openings in [0, 1].
    """

    position: jax.Array
    rotation: jax.Array
    velocity: jax.Array
    tcp_position: jax.Array
    opening: jax.Array


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
      name: registry key.
      arms: number of arms R.
      objects: the manipulated objects; masks show these.
      sample: key -> `Start`, the same for every robot.
      condition: `Situation` -> bool scalar.
      hold_steps: control steps for which the condition must hold without a break.
      horizon: most control steps of an episode.
      plan: (key, `Start`, steps) -> `Path` of the expert's hands, varied by the key.
      plan_steps: control steps of a plan; every expert is done before.
      cameras: view -> camera; what it sees should be little more than the workspace.
      in_the_field: whether hand-held recordings of it are made in many places, so that their looks
        vary by episode (`realism.FIELD`).
      contact_limits: of the simulation, if all contacts at once are too many to solve for.
    """

    name: str
    arms: int
    objects: tuple[Thing, ...]
    sample: Callable[[jax.Array], Start]
    condition: Callable[[Situation], jax.Array]
    hold_steps: int
    horizon: int
    plan: Callable[[jax.Array, Start, int], Path]
    plan_steps: int
    cameras: dict[str, Camera] = dataclasses.field(default_factory=lambda: NEAR)
    in_the_field: bool = False
    contact_limits: ContactLimits | None = None

    @property
    def views(self) -> tuple[str, ...]:
        """Names of all cameras, those on the hands included, sorted."""
        return tuple(sorted((*self.cameras, *wrist_views(self.arms))))


def uniform(key: jax.Array, low, high) -> jax.Array:
    """A uniform sample between `low` and `high`, which have equal shapes."""
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    return low + jax.random.uniform(key, low.shape) * (high - low)


def first_clear(key: jax.Array, draw: Callable, is_clear: Callable) -> jax.Array:
    """The first of `PLACEMENTS` draws that `is_clear`, so that nothing starts in collision.

    `draw`: key -> array; `is_clear`: that array -> bool scalar. Ranges should leave a draw
    clear more often than not: the last draw is taken if none is (tests hold that this is rare).
    """
    keys = jax.random.split(key, PLACEMENTS)
    drawn = jax.vmap(draw)(keys)
    clear = jax.vmap(is_clear)(drawn).at[-1].set(True)
    return drawn[jnp.argmax(clear)]
