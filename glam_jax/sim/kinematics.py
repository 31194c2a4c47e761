"""Kinematics of the Kinova Gen3 arm and of end-effector poses, in plain jax.numpy.

The tool centre point (tcp) is the pinch point between the finger pads, the same on every
robot. Its z axis points out of the hand and its y axis is the one along which the fingers
open. All functions broadcast over leading dimensions unless said otherwise.
"""

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.sim import linear

# Per joint: origin (m) and orientation (w, x, y, z, not normalised) in the parent link; each
# joint turns about its own z axis.
JOINT_ORIGINS = np.array(
    [
        [0.0, 0.0, 0.15643],
        [0.0, 0.005375, -0.12838],
        [0.0, -0.21038, -0.006375],
        [0.0, 0.006375, -0.21038],
        [0.0, -0.20843, -0.006375],
        [0.0, 0.00017505, -0.10593],
        [0.0, -0.10593, -0.00017505],
    ]
)
JOINT_QUATERNIONS = np.array(
    [
        [0.0, 1, 0, 0],
        [1, 1, 0, 0],
        [1, -1, 0, 0],
        [1, 1, 0, 0],
        [1, -1, 0, 0],
        [1, 1, 0, 0],
        [1, -1, 0, 0],
    ]
)
# Joints 1, 3, 5 and 7 are continuous: two turns keep commands finite without binding.
_TURN = 2 * np.pi
JOINT_LIMITS = np.array([_TURN, 2.24, _TURN, 2.57, _TURN, 2.09, _TURN])

FLANGE_POSITION = np.array([0.0, 0.0, -0.061525])  # in link 7, m
FLANGE_QUATERNION = np.array([0.0, 1.0, 0.0, 0.0])
TCP_OFFSET = 0.13  # from the flange to the pinch point along the hand's z axis, m

# The hand pointing straight down with the fingers opening along the world's y axis.
POINTING_DOWN = np.diag([1.0, -1.0, -1.0])

# The one posture that resolves the redundancy, and from which poses are solved: elbow up,
# hand pointing down at about x = 0.45 m, y = 0, z = 0.25 m.
POSTURE = np.array([0.0, 0.395, np.pi, -1.588, 0.0, -1.159, 0.0])

_HIGHEST = jax.lax.Precision.HIGHEST  # lower precisions of accelerators cost millimetres


def _matmul(a, b):
    return jnp.matmul(a, b, precision=_HIGHEST)


def matrix_of_quaternion(quaternion: jax.Array) -> jax.Array:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), w x y z, normalised here."""
    quaternion = quaternion / jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, x, y, z = jnp.moveaxis(quaternion, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def turn_about_z(angle: jax.Array) -> jax.Array:
    """Rotation matrices (..., 3, 3) about the z axis by `angle` (...) rad."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    rows = [[c, -s, zero], [s, c, zero], [zero, zero, one]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def pointing_down(yaw: jax.Array) -> jax.Array:
    """Rotations (..., 3, 3) of a hand that points down, its heading `yaw` (...) rad."""
    return _matmul(turn_about_z(jnp.asarray(yaw)), jnp.asarray(POINTING_DOWN, jnp.float32))


def rotation_6d(rotation: jax.Array) -> jax.Array:
    """First two columns of rotation matrices: (..., 3, 3) -> (..., 6), column after column.

    The continuous representation of Zhou et al. (2019).
    """
    return jnp.concatenate([rotation[..., :, 0], rotation[..., :, 1]], axis=-1)


def matrix_from_6d(six: jax.Array) -> jax.Array:
    """Rotation matrices (..., 3, 3) nearest, by Gram-Schmidt, to two columns (..., 6).

    Inverse of `rotation_6d`; the columns need not be orthonormal (a network's output is not).
    """
    first = six[..., :3] / (jnp.linalg.norm(six[..., :3], axis=-1, keepdims=True) + 1e-9)
    second = six[..., 3:] - jnp.sum(first * six[..., 3:], axis=-1, keepdims=True) * first
    second = second / (jnp.linalg.norm(second, axis=-1, keepdims=True) + 1e-9)
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-1)


def angles_zyx(rotation: jax.Array) -> jax.Array:
    """Angles (..., 3) rad with rotation = Rz(a) Ry(b) Rx(c); singular only at b = +-90 degrees."""
    a = jnp.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])
    b = -jnp.arcsin(jnp.clip(rotation[..., 2, 0], -1.0, 1.0))
    c = jnp.arctan2(rotation[..., 2, 1], rotation[..., 2, 2])
    return jnp.stack([a, b, c], axis=-1)


def _unit_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of one constant quaternion, with exact zeros and ones."""
    w, *vector = quaternion / np.linalg.norm(quaternion)
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.round(np.eye(3) + 2 * w * cross + 2 * cross @ cross, 12)


_JOINT_ROTATIONS = np.stack([_unit_matrix(q) for q in JOINT_QUATERNIONS]).astype(np.float32)
_UPRIGHT = np.eye(3)
_FLANGE_ROTATION = _unit_matrix(FLANGE_QUATERNION).astype(np.float32)
_TCP_IN_LINK = FLANGE_POSITION + _FLANGE_ROTATION @ np.array([0.0, 0.0, TCP_OFFSET])


def _chain(joints, base_position, base_rotation):
    """Tcp position (..., 3), rotation (..., 3, 3); joint origins and axes, (..., 7, 3) each."""
    lead = joints.shape[:-1]
    position = jnp.broadcast_to(jnp.asarray(base_position, jnp.float32), (*lead, 3))
    rotation = jnp.broadcast_to(jnp.asarray(base_rotation, jnp.float32), (*lead, 3, 3))
    origins, axes = [], []
    for i in range(7):
        offset = jnp.asarray(JOINT_ORIGINS[i], jnp.float32)
        position = position + _matmul(rotation, offset)
        rotation = _matmul(rotation, jnp.asarray(_JOINT_ROTATIONS[i]))
        origins.append(position)
        axes.append(rotation[..., :, 2])
        rotation = _matmul(rotation, turn_about_z(joints[..., i]))
    position = position + _matmul(rotation, jnp.asarray(_TCP_IN_LINK, jnp.float32))
    rotation = _matmul(rotation, jnp.asarray(_FLANGE_ROTATION))
    return position, rotation, jnp.stack(origins, axis=-2), jnp.stack(axes, axis=-2)


def forward(
    joints: jax.Array, base_position=(0.0, 0.0, 0.0), base_rotation=_UPRIGHT
) -> tuple[jax.Array, jax.Array]:
    """Tcp of the Kinova arm: joints (..., 7) rad -> position (..., 3) m, rotation (..., 3, 3).

    `base_position` (3,) and `base_rotation` (3, 3) place the arm's base in the world.
    """
    position, rotation, _, _ = _chain(joints, base_position, base_rotation)
    return position, rotation


def _inverse_step(joints, target_position, target_rotation, pull):
    """One damped least-squares step, with a pull to `POSTURE` in the null space. One pose."""
    position, rotation, origins, axes = _chain(joints, (0.0, 0.0, 0.0), _UPRIGHT)
    moved = target_position - position
    # A far target is approached in bounded steps: the Jacobian only holds near the pose.
    moved = moved * jnp.minimum(1.0, 0.1 / (jnp.linalg.norm(moved) + 1e-9))
    turned = 0.5 * jnp.sum(jnp.cross(rotation, target_rotation, axis=0), axis=1)
    error = jnp.concatenate([moved, turned])
    jacobian = jnp.concatenate([jnp.cross(axes, position - origins), axes], axis=-1).T
    rest = pull * (jnp.asarray(POSTURE, jnp.float32) - joints)
    gram = _matmul(jacobian, jacobian.T) + 1e-5 * jnp.eye(6)
    task = error - _matmul(jacobian, rest)
    joints = joints + rest + _matmul(jacobian.T, linear.solve(gram, task))
    limits = jnp.asarray(JOINT_LIMITS, jnp.float32)
    return jnp.clip(joints, -limits, limits)


def inverse(
    target_position: jax.Array,
    target_rotation: jax.Array,
    start: jax.Array,
    iterations: int,
    pull: float = 0.3,
) -> jax.Array:
    """Joints (7,) rad that bring the tcp to one pose in the frame of the arm's base.

    Damped least squares, q <- q + r + J^T (J J^T + d I)^-1 (e - J r), with the pull
    r = pull * (`POSTURE` - q) resolving the redundancy: after some 25 iterations the joints
    are a function of the pose alone, whatever the start, provided that it lies on the same
    branch. That is what makes a latent action decodable to joints.

    Args:
      target_position: (3,) m.
      target_rotation: (3, 3).
      start: (7,) rad, first guess.
      iterations: number of steps; static.
      pull: share of the way to `POSTURE` per step.
    """

    def step(joints, _):
        return _inverse_step(joints, target_position, target_rotation, pull), None

    return jax.lax.scan(step, jnp.asarray(start, jnp.float32), length=iterations)[0]


def ee_pose(position: jax.Array, rotation: jax.Array, opening: jax.Array) -> jax.Array:
    """End-effector pose (..., 10) as in `schema`: position, first two columns, opening (...)."""
    return jnp.concatenate([position, rotation_6d(rotation), opening[..., None]], axis=-1)


def ee_pose_of_action(action: jax.Array) -> jax.Array:
    """The end-effector pose (..., 10) that a Kinova action (..., 8) commands.

    Forward kinematics of its joint targets, with the gripper command as the opening.
    """
    position, rotation = forward(action[..., :7])
    return ee_pose(position, rotation, action[..., 7])
