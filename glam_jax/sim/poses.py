"""Where every body, geom and site of a model is for given joint positions.

The same forward kinematics as MJX's own, which compiles ten times as long because it serves
every kind of model; this one covers what our scenes are made of.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from glam_jax.sim.kinematics import matrix_of_quaternion


class Poses(NamedTuple):
    """Positions (N, 3) m and rotations (N, 3, 3) in the world; named as in MuJoCo's data."""

    xpos: jax.Array
    xmat: jax.Array
    geom_xpos: jax.Array
    geom_xmat: jax.Array
    site_xpos: jax.Array
    site_xmat: jax.Array


def make_poses(model: mujoco.MjModel) -> Callable[[jax.Array], Poses]:
    """Forward kinematics of a model: qpos (Q,) -> `Poses`, of one world.

    Raises:
      ValueError: a joint is a ball, or does not turn about its body's origin from zero.
    """
    ball = mujoco.mjtJoint.mjJNT_BALL
    for joint in range(model.njnt):
        kind, name = model.jnt_type[joint], model.joint(joint).name
        if kind == ball or (kind != mujoco.mjtJoint.mjJNT_FREE and model.jnt_pos[joint].any()):
            raise ValueError(f"joint {name!r}: poses cover joints at their body's origin, no balls")
    body_mats = _matrices(model.body_quat)
    geom_mats, site_mats = _matrices(model.geom_quat), _matrices(model.site_quat)

    def attached(xpos, xmat, bodies, offsets, mats):
        rotation = xmat[bodies]
        offset = jnp.sum(rotation * offsets[:, None, :].astype(np.float32), axis=-1)
        return xpos[bodies] + offset, _product(rotation, mats)

    def poses(qpos):
        positions, rotations = [jnp.zeros(3)], [jnp.eye(3)]
        for body in range(1, model.nbody):
            parent = model.body_parentid[body]
            above = rotations[parent]
            position = positions[parent] + _turned(above, model.body_pos[body])
            rotation = _product(above, body_mats[body])
            for joint in range(model.body_jntadr[body], _end(model, body)):
                position, rotation = _moved(model, joint, qpos, position, rotation)
            positions.append(position)
            rotations.append(rotation)
        xpos, xmat = jnp.stack(positions), jnp.stack(rotations)
        geoms = attached(xpos, xmat, model.geom_bodyid, model.geom_pos, geom_mats)
        sites = attached(xpos, xmat, model.site_bodyid, model.site_pos, site_mats)
        return Poses(xpos, xmat, *geoms, *sites)

    return poses


def _end(model, body):
    return model.body_jntadr[body] + model.body_jntnum[body]


def _matrices(quaternions):
    """Rotations (N, 3, 3) of a model's unit quaternions. JAX would compile each operation."""
    flat = np.empty((len(quaternions), 9))
    for matrix, quaternion in zip(flat, quaternions, strict=True):
        mujoco.mju_quat2Mat(matrix, quaternion)
    return flat.reshape(-1, 3, 3).astype(np.float32)


def _product(a, b):
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _turned(rotation, vector):
    return _product(rotation, jnp.asarray(vector, jnp.float32))


def _moved(model, joint, qpos, position, rotation):
    """A body's pose after one of its joints has moved."""
    at, kind = model.jnt_qposadr[joint], model.jnt_type[joint]
    if kind == mujoco.mjtJoint.mjJNT_FREE:
        return qpos[at : at + 3], matrix_of_quaternion(qpos[at + 3 : at + 7])
    axis, change = model.jnt_axis[joint], qpos[at] - model.qpos0[at]
    if kind == mujoco.mjtJoint.mjJNT_SLIDE:
        return position + change * _turned(rotation, axis), rotation
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float32)
    turn = np.eye(3) + jnp.sin(change) * cross + (1 - jnp.cos(change)) * (cross @ cross)
    return position, _product(rotation, turn)
