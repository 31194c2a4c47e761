"""How far decoded actions lie from recorded ones, at the gripper where it is known how."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from glam_jax.schema import ACTION_DIM, SIMULATED
from glam_jax.sim import kinematics

EE_MM = "ee_mm"  # of robots whose kinematics are known here


@jax.jit
def ee_distance_mm(decoded: jax.Array, recorded: jax.Array) -> jax.Array:
    """Distance in mm between the end-effector positions that two actions command.

    (..., A), (..., A) in physical units -> (..., arms), by forward kinematics of the seven
    joint targets of each arm. Joint errors alone mislead: 0.03 rad may be 2 cm here.
    """
    chex.assert_equal_shape([decoded, recorded])
    arms = [a.reshape(-1, a.shape[-1] // ACTION_DIM, ACTION_DIM) for a in (decoded, recorded)]
    position = [jax.vmap(jax.vmap(kinematics.ee_pose_of_action))(a)[..., :3] for a in arms]
    distance = jnp.linalg.norm(position[0] - position[1], axis=-1) * 1000.0
    return distance.reshape(*decoded.shape[:-1], -1)


@jax.jit
def action_rms(decoded: jax.Array, recorded: jax.Array) -> jax.Array:
    """Root mean square over the numbers of an action, (..., A), (..., A) -> (..., 1).

    In the action's own units; for robots whose kinematics are not known here.
    """
    chex.assert_equal_shape([decoded, recorded])
    return jnp.sqrt(jnp.mean(jnp.square(decoded - recorded), axis=-1, keepdims=True))


def measure_of(config: ConfigDict | None) -> tuple[str, Callable]:
    """(name, distance) by which a run's decoded actions are measured: `ee_mm`, or `action_rms` on
    own data."""
    own = config is not None and config.data.target not in SIMULATED
    return ("action_rms", action_rms) if own else (EE_MM, ee_distance_mm)


def at_the_grip(
    distance_BxKxR: np.ndarray, action_BxKxA: np.ndarray, valid_BxK: np.ndarray
) -> np.ndarray:
    """The distances (n,) where a gripper begins to open or close.

    That is the first transition of a chunk, for each arm, whose recorded gripper command differs
    from the chunk's first by more than half of its range. A miss there is a cube that stays, or
    that is put down beside its place.
    """
    chex.assert_equal_shape_prefix([distance_BxKxR, action_BxKxA, valid_BxK], 2)
    shape = (*distance_BxKxR.shape, ACTION_DIM)
    command_BxKxR = np.asarray(action_BxKxA).reshape(shape)[..., -1]
    changed = np.abs(command_BxKxR - command_BxKxR[:, :1]) > 0.5
    changed &= np.asarray(valid_BxK)[..., None] > 0
    row, arm = np.nonzero(changed.any(axis=1))
    return np.asarray(distance_BxKxR)[row, changed.argmax(axis=1)[row, arm], arm]


def summary(distances: list[np.ndarray], name: str) -> dict[str, float]:
    """Mean and 95th percentile of distances, as scalars to log."""
    flat = np.concatenate([np.ravel(d) for d in distances])
    return {name: float(flat.mean()), f"{name}_p95": float(np.quantile(flat, 0.95))}
