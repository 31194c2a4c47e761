"""Hand-made situations in which stacking is done, to be changed one value at a time."""

import jax.numpy as jnp
import numpy as np

from glam_jax.sim.tasks.task import Situation


def stacked(order, objects: int, arms: int) -> Situation:
    """Objects resting on each other in `order`, lowest first, and open hands 20 cm above."""
    position = np.zeros((objects, 3), np.float32)
    for level, thing in enumerate(order):
        position[thing] = 0.45, 0.0, 0.025 + 0.05 * level
    hand = position[order[-1]] + np.array([0.0, 0.0, 0.2], np.float32)
    return Situation(
        position=jnp.asarray(position),
        rotation=jnp.tile(jnp.eye(3), (objects, 1, 1)),
        velocity=jnp.zeros((objects, 3)),
        tcp_position=jnp.tile(hand, (arms, 1)),
        opening=jnp.ones(arms),
    )


def moved(now: Situation, field: str, index, by) -> Situation:
    """The situation with `by` added to one entry of a field."""
    return now._replace(**{field: getattr(now, field).at[index].add(jnp.asarray(by))})
