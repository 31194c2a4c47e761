"""A script's path as a person would drive it: with waits between moves and an unsteady hand."""

import jax
import jax.numpy as jnp

from glam_jax.sim.realism import Demonstrator
from glam_jax.sim.scenes import CONTROL_HZ
from glam_jax.sim.tasks.path import Path, minimum_jerk

# Metres that a hand moves in a control step at most where a move is taken to end; a turn of the
# hand counts by the way of a point 10 cm from its axis.
_STILL, _LEVER = 0.002, 0.1
_WAVES = 3  # per hand and axis
_RAMP = 20  # control steps until the wobble is at its full size


def demonstrated(path: Path, human: Demonstrator, key: jax.Array, steps: int) -> Path:
    """A path of T steps as `human` drives it, over `steps` control steps; varied by the key.

    The last pose is held to the end. All hands wait together, so that what they do together
    they still do.
    """
    waiting, shaking = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    return wobbling(pausing(path, human, waiting, steps), human, shaking)


def pausing(path: Path, human: Demonstrator, key: jax.Array, steps: int) -> Path:
    """The path (T) with waits where one move has ended and the next one begins, over `steps`.

    A wait repeats the command of a step, so that no waypoint is lost. Waits are cut off where
    they would add up to more than `human.most_paused`.
    """
    ends = ends_of_moves(path)
    low, high = human.pause_steps
    chosen = jax.random.bernoulli(jax.random.fold_in(key, 0), human.pause_chance, ends.shape)
    length = jax.random.randint(jax.random.fold_in(key, 1), ends.shape, low, high + 1)
    waited = jnp.minimum(jnp.cumsum(ends * chosen * length), human.most_paused)
    last_time = jnp.arange(len(ends)) + waited  # at which each step of the path is commanded
    index = jnp.searchsorted(last_time, jnp.arange(steps), side="left")
    return jax.tree.map(lambda x: x[jnp.minimum(index, len(ends) - 1)], path)


def ends_of_moves(path: Path) -> jax.Array:
    """(T,) bool: the last step before the hands set off again from where they nearly stood."""
    ways = jnp.linalg.norm(jnp.diff(path.position, axis=0), axis=-1)
    ways = ways + _LEVER * jnp.abs(jnp.diff(path.yaw, axis=0))
    # In tenths of millimetres: standing still is then the same number however it was rounded.
    way = jnp.round(jnp.max(ways, axis=-1) / 1e-4)
    before, into, out = way[:-2], way[1:-1], way[2:]
    ends = (into * 1e-4 <= _STILL) & (into <= before) & (out > into)
    return jnp.pad(ends, (2, 1))


def wobbling(path: Path, human: Demonstrator, key: jax.Array) -> Path:
    """The path with slow waves on the hands' positions, none of them larger than `human.wobble`.

    The start stays where it is: the hands are there already.
    """
    shape = (_WAVES, *path.position.shape[1:])
    low, high = human.wobble_hz
    frequency = jax.random.uniform(jax.random.fold_in(key, 0), shape, minval=low, maxval=high)
    phase = jax.random.uniform(jax.random.fold_in(key, 1), shape, maxval=2 * jnp.pi)
    time = jnp.arange(len(path.position), dtype=jnp.float32)[:, None, None]
    angle = 2 * jnp.pi * frequency[:, None] * time / CONTROL_HZ + phase[:, None]
    waves = jnp.mean(jnp.sin(angle), axis=0) * jnp.asarray(human.wobble, jnp.float32)
    return path._replace(position=path.position + minimum_jerk(time / _RAMP) * waves)
