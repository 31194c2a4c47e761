"""Paths of hands that point down: smooth moves through waypoints, sampled at the control rate."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

REACH = 0.62  # m, horizontally from an arm's base: beyond, joints are no function of the pose


class Path(NamedTuple):
    """Commanded motion of R hands, pointing down, over T control steps.

    Attributes:
      position: (T, R, 3) m.
      yaw: (T, R) rad.
      command: (T, R) of the gripper, 1 open.
    """

    position: jax.Array
    yaw: jax.Array
    command: jax.Array


class Move(NamedTuple):
    """A move to a pose; a wait is a move to where the hand is.

    Attributes:
      position: (3,) m. yaw: rad. Where the move ends.
      steps: control steps that it takes, not necessarily whole.
      command: of the gripper meanwhile, 1 open.
      bow: sideways detour in the middle of it, m.
    """

    position: jax.Array
    yaw: jax.Array
    steps: jax.Array
    command: float
    bow: jax.Array | float = 0.0


def through(position: jax.Array, yaw: jax.Array, moves: Sequence[Move], steps: int) -> Path:
    """The `Path` of one hand (R = 1) from a pose through moves, then waiting.

    Each move follows minimum jerk: velocity and acceleration are 0 at both ends.
    """
    # The command at step t is where the hand should be at step t + 1.
    time = jnp.arange(1, steps + 1, dtype=jnp.float32)
    positions = jnp.broadcast_to(position, (steps, 3))
    yaws, commands = jnp.full(steps, yaw), jnp.full(steps, float(moves[0].command))
    begin = 0.0
    for move in moves:
        share = (time - begin) / move.steps
        way = move.position - position
        done = minimum_jerk(share)
        positions = positions + done[:, None] * way + _detour(share, way, move.bow)
        yaws = yaws + done * (move.yaw - yaw)
        commands = jnp.where(time > begin, move.command, commands)
        position, yaw, begin = move.position, move.yaw, begin + move.steps
    return Path(positions[:, None], yaws[:, None], commands[:, None])


def together(*hands: Path) -> Path:
    """Paths of single hands as one path of them all."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *hands)


def minimum_jerk(s: jax.Array) -> jax.Array:
    """Share of the way at share `s` of the time, with velocity and acceleration 0 at both ends."""
    s = jnp.clip(s, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def nearest_quarter_turn(yaw: jax.Array, nominal) -> jax.Array:
    """The yaw equivalent to `yaw` for a cube that lies nearest to `nominal` (rad)."""
    quarter = jnp.pi / 2
    return nominal + jnp.mod(yaw - nominal + quarter / 2, quarter) - quarter / 2


def duration(begin: jax.Array, end: jax.Array, speed, least: float) -> jax.Array:
    """Control steps, whole and at least `least`, from `begin` to `end` (3,) at mean `speed` m/s."""
    return jnp.maximum(jnp.round(20.0 * jnp.linalg.norm(end - begin) / speed), least)


def within_reach(position: jax.Array, base=(0.0, 0.0, 0.0)) -> jax.Array:
    """The nearest position (3,) that an arm based at `base` (3,) reaches without stretching."""
    foot = jnp.asarray(base, jnp.float32)[:2]
    way = position[:2] - foot
    far = jnp.linalg.norm(way) / REACH
    return position.at[:2].set(foot + way / jnp.maximum(far, 1.0))


def is_within_reach(position: jax.Array, base=(0.0, 0.0, 0.0)) -> jax.Array:
    """Whether positions (..., 2 or 3) lie within reach of an arm based at `base`: bool (...)."""
    foot = jnp.asarray(base, jnp.float32)[:2]
    return jnp.linalg.norm(position[..., :2] - foot, axis=-1) <= REACH


def _detour(s, way, size):
    """Sideways detour (T, 3) of at most `size` m in the middle of a move along `way`, level."""
    side = jnp.stack([-way[1], way[0], jnp.zeros(())])
    side = side / (jnp.linalg.norm(side) + 1e-6)
    s = jnp.clip(s, 0.0, 1.0)
    return (size * 16.0 * s**2 * (1.0 - s) ** 2)[:, None] * side
