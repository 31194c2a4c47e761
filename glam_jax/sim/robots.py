"""The robots: a Kinova Gen3 arm and a floating UMI gripper, built from primitive geoms.

`kinova_real` is the arm once more as the simulated stand-in for a real one (see `realism`).
All carry the same fingers and pads at the same distances, so that a grasp means the same
for all; they differ in looks, in what holds the hand, and in what they are commanded by.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco

from glam_jax import schema
from glam_jax.sim import kinematics
from glam_jax.sim.realism import FIELD, STAND_IN, Realism

FINGER_TRAVEL = 0.0425  # m per finger: 85 mm between the pads when fully open
# Reflected inertia of a finger's drive, kg. With fingers as light as their geoms, contacts of
# MJX at 100 Hz make them bounce on what they hold.
FINGER_ARMATURE = 0.5
# Contact bits: pads and objects (1) meet objects and the table (2); pads never meet pads.
PAD_CONTACT = {"contype": 2, "conaffinity": 0}
NO_CONTACT = {"contype": 0, "conaffinity": 0}

# Masses (kg), centres of mass (m), principal inertias (kg m^2) and the orientation of their
# frames (w, x, y, z), links 1 to 7 of the Kinova Gen3.
_LINK_MASS = (1.3773, 1.1636, 1.1636, 0.9302, 0.6781, 0.6781, 0.5)
_LINK_CENTRE = (
    (-2.3e-05, -0.010364, -0.07336),
    (-4.4e-05, -0.09958, -0.013278),
    (-4.4e-05, -0.006641, -0.117892),
    (-1.8e-05, -0.075478, -0.015006),
    (1e-06, -0.009432, -0.063883),
    (1e-06, -0.045483, -0.00965),
    (0.000281, 0.011402, -0.029798),
)
_LINK_INERTIA = (
    (0.00488868, 0.00457, 0.00135132),
    (0.0113017, 0.011088, 0.00102532),
    (0.0111633, 0.010932, 0.00100671),
    (0.00834839, 0.008147, 0.000598606),
    (0.00165901, 0.001596, 0.000346988),
    (0.00170087, 0.001641, 0.00035013),
    (0.000657336, 0.000587019, 0.000320645),
)
_LINK_INERTIA_FRAME = (
    (0.707051, 0.0451246, -0.0453544, 0.704263),
    (0.482348, 0.516286, -0.516862, 0.483366),
    (0.706144, 0.0213722, -0.0209128, 0.707437),
    (0.483678, 0.515961, -0.515859, 0.483455),
    (0.703558, 0.0707492, -0.0707492, 0.703558),
    (0.44426, 0.550121, -0.550121, 0.44426),
    (0.394358, 0.596779, -0.577293, 0.393789),
)
# One capsule covers each link and, where the next joint turns about its axis, the next link:
# link -> (end in its frame (m), radius (m)).
_LINK_CAPSULES = {
    0: ((0.0, 0.0054, -0.128), 0.045),
    1: ((0.0, -0.4208, -0.007), 0.042),
    3: ((0.0, -0.3144, -0.007), 0.038),
    5: ((0.0, -0.1674, 0.0), 0.034),
}


@dataclasses.dataclass(frozen=True)
class Robot:
    """One robot: how it looks, what moves it and what it is commanded by.

    Attributes:
      name: registry key.
      has_actions: True for a target source, commanded in joint targets.
      action_dim: length of the command of one arm.
      hand_rgba, finger_rgba: looks of the hand and of the fingers.
      gains: (kp N m/rad or N/m, kv, largest torque or force) per joint of one arm.
      joints: names of the joints of one arm, without the prefix.
      mount: adds what holds the hand, standing at a base (3,) m; returns the body at the flange.
      stands: whether it has a base at all; a floating hand moves in the world's frame.
      joint_targets: (action (A,), joints now) -> targets of `joints`, clipped.
      start_joints: (tcp position (3,) from the base, rotation (3, 3)) -> `joints` there.
      finger_gains: kp (N/m), kv and largest force (N) of each finger.
      armature: reflected inertia of the drives of the arm's joints, kg m^2.
      realism: what sets a stand-in for a real robot apart; None for clean simulation.
    """

    name: str
    has_actions: bool
    action_dim: int
    hand_rgba: tuple[float, float, float, float]
    finger_rgba: tuple[float, float, float, float]
    gains: tuple[tuple[float, float, float], ...]
    joints: tuple[str, ...]
    mount: Callable[..., mujoco.MjsBody]
    stands: bool
    joint_targets: Callable[[jax.Array, jax.Array], jax.Array]
    start_joints: Callable[[jax.Array, jax.Array], jax.Array]
    finger_gains: tuple[float, float, float] = (1200.0, 120.0, 30.0)
    armature: float = 0.05
    realism: Realism | None = None

    def add(self, spec: mujoco.MjSpec, prefix: str, base) -> None:
        """Add one arm to the scene, its foot at `base`; every name in it starts with `prefix`."""
        _add_hand(self.mount(self, spec, prefix, base), prefix, self)
        for joint, (kp, kv, limit) in zip(self.joints, self.gains, strict=True):
            _add_servo(spec, prefix + joint, kp, kv, limit)
        for finger in ("left_finger", "right_finger"):
            _add_servo(spec, prefix + finger, *self.finger_gains)

    def control(self, action: jax.Array, joints: jax.Array) -> jax.Array:
        """Actuator targets of one arm, clipped: action (A,), joints now (J,) -> (J + 2,)."""
        target = self.joint_targets(action, joints)
        fingers = jnp.clip(action[-1], 0.0, 1.0) * FINGER_TRAVEL
        return jnp.concatenate([target, fingers[None], fingers[None]])


def _add_servo(spec, joint, kp, kv, limit):
    """A position servo: force = kp (target - q) - kv dq/dt, at most `limit`."""
    actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.set_to_position(kp=kp, kv=kv)
    actuator.forcerange = (-limit, limit)
    actuator.forcelimited = True


def _add_hand(hand, prefix, robot):
    """Palm, two sliding fingers with pads, and the `tcp` site, on a body at the flange."""
    box, slide = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtJoint.mjJNT_SLIDE
    tcp = kinematics.TCP_OFFSET
    hand.add_geom(
        name=prefix + "palm",
        type=box,
        size=(0.032, 0.065, 0.036),
        pos=(0, 0, 0.036),
        rgba=robot.hand_rgba,
        mass=0.4,
        **NO_CONTACT,
    )
    hand.add_site(name=prefix + "tcp", pos=(0, 0, tcp))
    for side, name in ((1.0, "left_finger"), (-1.0, "right_finger")):
        finger = hand.add_body(name=prefix + name, pos=(0, 0, tcp), gravcomp=1)
        finger.add_joint(
            name=prefix + name,
            type=slide,
            axis=(0, side, 0),
            range=(0, FINGER_TRAVEL),
            limited=True,
            armature=FINGER_ARMATURE,
        )
        finger.add_geom(
            name=prefix + name,
            type=box,
            size=(0.011, 0.006, 0.034),
            pos=(0, side * 0.014, -0.024),
            rgba=robot.finger_rgba,
            mass=0.04,
            **NO_CONTACT,
        )
        finger.add_geom(
            name=f"{prefix}{name}_pad",
            type=box,
            size=(0.011, 0.004, 0.018),
            pos=(0, side * 0.004, 0),
            rgba=(0.05, 0.05, 0.05, 1),
            mass=0.01,
            **PAD_CONTACT,
        )


def _mount_kinova(robot, spec, prefix, base):
    """Base and seven links; returns the body at the flange."""
    capsule, cylinder = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER
    body = spec.worldbody.add_body(name=prefix + "base", pos=base)
    body.add_geom(
        name=prefix + "base",
        type=cylinder,
        size=(0.046, 0.078, 0),
        pos=(0, 0, 0.078),
        rgba=robot.hand_rgba,
        **NO_CONTACT,
    )
    for i, joint in enumerate(robot.joints):
        body = body.add_body(
            name=prefix + joint,
            pos=kinematics.JOINT_ORIGINS[i],
            quat=kinematics.JOINT_QUATERNIONS[i],
            mass=_LINK_MASS[i],
            ipos=_LINK_CENTRE[i],
            inertia=_LINK_INERTIA[i],
            iquat=_LINK_INERTIA_FRAME[i],
            explicitinertial=True,
            gravcomp=1,
        )
        limit = kinematics.JOINT_LIMITS[i]
        body.add_joint(
            name=prefix + joint,
            axis=(0, 0, 1),
            range=(-limit, limit),
            limited=bool(i % 2),
            armature=robot.armature,
        )
        if i in _LINK_CAPSULES:
            end, radius = _LINK_CAPSULES[i]
            body.add_geom(
                name=prefix + joint,
                type=capsule,
                fromto=(0, 0, 0, *end),
                size=(radius, 0, 0),
                rgba=robot.hand_rgba,
                **NO_CONTACT,
            )
    return body.add_body(
        name=prefix + "hand",
        pos=kinematics.FLANGE_POSITION,
        quat=kinematics.FLANGE_QUATERNION,
        gravcomp=1,
    )


def _mount_floating(robot, spec, prefix, base):
    """A hand on three slides and three hinges through its tcp; returns the body at the flange."""
    del base  # it floats
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    kinds = (slide,) * 3 + (hinge,) * 3
    axes = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    carrier = spec.worldbody.add_body(name=prefix + "carrier", gravcomp=1)
    for joint, kind, axis in zip(robot.joints, kinds, axes, strict=True):
        carrier.add_joint(name=prefix + joint, type=kind, axis=axis, limited=False, armature=0.05)
    # The hinges start from the hand pointing down, so that their singularity (pitch of 90
    # degrees) is far from every pose in use.
    hand = carrier.add_body(
        name=prefix + "hand", pos=(0, 0, kinematics.TCP_OFFSET), quat=(0, 1, 0, 0), gravcomp=1
    )
    hand.add_geom(
        name=prefix + "handle",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=(0.028, 0, 0),
        fromto=(0, 0, -0.09, 0, 0, 0),
        rgba=robot.hand_rgba,
        mass=0.2,
        **NO_CONTACT,
    )
    return hand


def _joints_of_joint_action(action, joints):
    del joints
    limits = jnp.asarray(kinematics.JOINT_LIMITS, jnp.float32)
    return jnp.clip(action[:7], -limits, limits)


def _hinges_of_pose(position, rotation):
    down = jnp.asarray(kinematics.POINTING_DOWN, jnp.float32)
    turned = jnp.matmul(rotation, down, precision=jax.lax.Precision.HIGHEST)
    return jnp.concatenate([position, kinematics.angles_zyx(turned)])


def _hinges_of_pose_action(action, joints):
    position = jnp.clip(action[:3], -1.0, 1.0)  # m, well around the workspace
    target = _hinges_of_pose(position, kinematics.matrix_from_6d(action[3:9]))
    # A heading just past half a turn is reached the short way.
    turn = jnp.mod(target[3:] - joints[3:6] + jnp.pi, 2 * jnp.pi) - jnp.pi
    return target.at[3:].set(joints[3:6] + turn)


def _solve_start(position, rotation):
    return kinematics.inverse(position, rotation, kinematics.POSTURE, iterations=100)


_KINOVA = Robot(
    name="kinova",
    has_actions=True,
    action_dim=schema.ACTION_DIM,
    hand_rgba=(0.78, 0.78, 0.8, 1.0),
    finger_rgba=(0.1, 0.1, 0.1, 1.0),
    gains=((2000.0, 100.0, 105.0),) * 4 + ((500.0, 25.0, 52.0),) * 3,
    joints=tuple(f"joint_{i}" for i in range(1, 8)),
    mount=_mount_kinova,
    stands=True,
    joint_targets=_joints_of_joint_action,
    start_joints=_solve_start,
)
_KINOVA_REAL = dataclasses.replace(
    _KINOVA,
    name="kinova_real",
    hand_rgba=(*STAND_IN.visual.hand, 1.0),
    finger_rgba=(*STAND_IN.visual.finger, 1.0),
    gains=STAND_IN.dynamic.gains,
    finger_gains=STAND_IN.dynamic.finger_gains,
    armature=STAND_IN.dynamic.armature,
    realism=STAND_IN,
)
_UMI = Robot(
    name="umi",
    has_actions=False,
    action_dim=schema.EE_DIM,
    hand_rgba=(*FIELD.hand, 1.0),
    finger_rgba=(*FIELD.finger, 1.0),
    gains=((2000.0, 100.0, 200.0),) * 3 + ((200.0, 10.0, 50.0),) * 3,
    joints=("x", "y", "z", "yaw", "pitch", "roll"),
    mount=_mount_floating,
    stands=False,
    joint_targets=_hinges_of_pose_action,
    start_joints=_hinges_of_pose,
)
ROBOTS = {robot.name: robot for robot in (_KINOVA, _KINOVA_REAL, _UMI)}
