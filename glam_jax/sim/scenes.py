"""A scene: arms, a table, the task's objects, two fixed cameras and one on each hand, in MuJoCo.

The world's origin is the foot of a single arm, or halfway between the feet of two; z = 0 is the
table's top, x points away from the arm. Only pads with objects and table, and objects with each
other and the table, collide; all else is for looks.
"""

import dataclasses

import mujoco
import numpy as np

from glam_jax.sim import kinematics
from glam_jax.sim.robots import NO_CONTACT, Robot

CONTROL_HZ = 20
SUBSTEPS = 5

# Objects meet pads (2) and each other (1); the table meets both.
_OBJECT_CONTACT = {"contype": 1, "conaffinity": 3}
_FRICTION = (1.5, 0.02, 0.0005)  # sliding, torsional (m), rolling (m)
_SOLREF = (0.01, 1.0)


@dataclasses.dataclass(frozen=True)
class Solid:
    """One primitive of a thing, in the thing's frame.

    Attributes:
      shape: "box", "sphere" or "capsule", which all collide with each other in MJX.
      size: half edges; radius; radius and half length along z (m).
      mass: kg.
      rgba: its colour.
      position: of its centre (m). quaternion: w, x, y, z.
      friction: sliding coefficient against all that it touches, for things that are pushed;
        None: the 1.5 of pads and table, which holds what is grasped.
      collides: False for looks and mass only; every pair that can collide costs time.
    """

    shape: str
    size: tuple[float, ...]
    mass: float
    rgba: tuple[float, float, float, float]
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    friction: float | None = None
    collides: bool = True


@dataclasses.dataclass(frozen=True)
class Thing:
    """A free rigid object on the table that the task is about.

    Attributes:
      name: of its body and joint; its geoms are `name`, `name_1`, `name_2`...
      solids: what it is made of.
    """

    name: str
    solids: tuple[Solid, ...]


def box(name: str, half_size: tuple[float, float, float], mass: float, rgba) -> Thing:
    """A thing of one box: half edges in m, mass in kg."""
    return Thing(name, (Solid("box", half_size, mass, rgba),))


@dataclasses.dataclass(frozen=True)
class Camera:
    """Where a camera stands, what it looks at (m), its vertical field of view (degrees), and what
    is up in its pictures; in the world's frame, or in that of the hand that carries it."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    field_of_view: float
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def moved(self, position, target) -> "Camera":
        """The camera that stands by `position` (3,) and looks by `target` (3,) m beside it."""
        return dataclasses.replace(
            self,
            position=tuple(np.add(self.position, position)),
            target=tuple(np.add(self.target, target)),
        )

    def quaternion(self) -> np.ndarray:
        """Orientation (w, x, y, z) of MuJoCo's camera frame: looks along -z, y is up."""
        back = np.subtract(self.position, self.target)
        back = back / np.linalg.norm(back)
        right = np.cross(self.up, back)
        right = right / np.linalg.norm(right)
        matrix = np.stack([right, np.cross(back, right), back], axis=1)
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, matrix.ravel())
        return quaternion


@dataclasses.dataclass(frozen=True)
class ContactLimits:
    """Most contacts that MJX solves for at a time; C MuJoCo knows no limit.

    MJX pays for every contact that a scene could have. The nearest pairs and the deepest points
    are kept, so that limits above what ever touches at once change nothing else.

    Attributes:
      pairs: of geoms, of each two shapes but the table. points: of all contacts.
    """

    pairs: int
    points: int


# Cameras of a task by view, the same for every robot but for the displacements in `realism`: tight
# on its workspace, and so far away that a cube spans about as many pixels wherever it lies.
# Overhead looks down at 60 degrees from the front: straight down, hand and arm would hide the
# object for most of an episode.
NEAR = {  # 52 cm wide
    "front": Camera((1.76, 0.0, 0.70), (0.46, 0.0, 0.175), 21.0),
    "overhead": Camera((1.16, 0.0, 1.34), (0.46, 0.0, 0.13), 21.0),
}
SHARED = {  # 60 cm, for what two arms share
    "front": Camera((3.06, 0.0, 1.27), (0.46, 0.0, 0.22), 12.2),
    "overhead": Camera((1.86, 0.0, 2.66), (0.46, 0.0, 0.24), 12.2),
}
# On every hand, in the hand's frame, whose z axis points along the fingers and y from one to the
# other. The eye stands on the side of the robot's base and looks away from it: it sees both fingers
# from the border inwards, the object between them, and the table below, but no palm and no arm, so
# that all robots look alike in it.
WRIST = Camera((-0.07, 0.0, 0.06), (0.0, 0.0, kinematics.TCP_OFFSET + 0.10), 90.0, (1.0, 0.0, 0.0))


def wrist_views(arms: int) -> tuple[str, ...]:
    """Names of the cameras on the hands of 1 or 2 arms, in the order of the arms."""
    return {1: ("wrist",), 2: ("wrist_left", "wrist_right")}[arms]


def bases(arms: int) -> np.ndarray:
    """Where the feet of the arms stand, (R, 3) m: at the origin, or side by side."""
    sideways = {1: (0.0,), 2: (0.32, -0.32)}[arms]
    return np.array([(0.0, y, 0.0) for y in sideways], np.float32)


def build(
    robot: Robot,
    objects: tuple[Thing, ...],
    arms: int = 1,
    cameras: dict[str, Camera] = NEAR,
    limits: ContactLimits | None = None,
    carried: bool = True,
) -> mujoco.MjModel:
    """Compile the scene: arms with prefixes `arm0_`, `arm1_`, then the objects in order.

    One free joint per object comes after all joints of the arms. `limits` keep MJX from
    solving for all contacts that there could ever be; without, it does. Not `carried`: without the
    cameras on the hands, which MJX would move along at each of its steps.
    """
    spec, realism = mujoco.MjSpec(), robot.realism
    _set_physics(spec)
    if limits is not None:
        spec.add_numeric(name="max_geom_pairs", size=1, data=[limits.pairs])
        spec.add_numeric(name="max_contact_points", size=1, data=[limits.points])
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(1.2, 1.0, 0.1),
        pos=(0.3, 0, 0),
        rgba=(0.45, 0.5, 0.55, 1.0),
        contype=1,
        conaffinity=3,
        friction=_FRICTION,
        condim=4,
        solref=_SOLREF,
    )
    for arm, base in enumerate(bases(arms)):
        robot.add(spec, f"arm{arm}_", base)
        if carried:
            _add_camera(spec.body(f"arm{arm}_hand"), wrist_views(arms)[arm], WRIST)
    for thing in objects:
        _add_thing(spec, thing)
    for geom in spec.geoms:
        geom.solref = _SOLREF
        if not geom.priority:
            geom.friction, geom.condim = _FRICTION, 4
        if realism:
            sliding, *rest = geom.friction
            geom.friction = (sliding * realism.dynamic.friction, *rest)
    for name, camera in cameras.items():
        if realism:
            visual = realism.visual
            camera = camera.moved(visual.camera_position[name], visual.camera_target[name])
        _add_camera(spec.worldbody, name, camera)
    return spec.compile()


def _add_camera(body, name, camera):
    body.add_camera(
        name=name, pos=camera.position, quat=camera.quaternion(), fovy=camera.field_of_view
    )


def _add_thing(spec, thing):
    body = spec.worldbody.add_body(name=thing.name, pos=(0.45, 0, 0.1))
    body.add_freejoint(name=thing.name)
    for index, solid in enumerate(thing.solids):
        body.add_geom(
            name=f"{thing.name}_{index}" if index else thing.name,
            type=getattr(mujoco.mjtGeom, f"mjGEOM_{solid.shape.upper()}"),
            size=(*solid.size, 0.0, 0.0)[:3],
            pos=solid.position,
            quat=solid.quaternion,
            mass=solid.mass,
            rgba=solid.rgba,
            **(_OBJECT_CONTACT if solid.collides else NO_CONTACT),
            **_slippery(solid),
        )


def _slippery(solid):
    """Contact settings of a solid with a friction of its own.

    Of two frictions the larger counts, unless one geom takes priority. No torsion: contacts of
    condim 3 converge sooner.
    """
    if solid.friction is None:
        return {}
    return {"friction": (solid.friction, *_FRICTION[1:]), "priority": 1, "condim": 3}


def _set_physics(spec):
    """Solver settings that are right at few iterations.

    Friction is as stiff as contact (impratio 1): with pyramidal cones, stiffer friction leaves
    contacts unconverged, so that cubes grasped off their middle fall and pushed bottles jump.
    """
    option = spec.option
    option.timestep = 1.0 / (CONTROL_HZ * SUBSTEPS)
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # `Env.step` integrates on its own and then moves on by `mjx.euler`.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    option.iterations, option.ls_iterations = 6, 8
    spec.compiler.degree = False
    spec.compiler.fusestatic = True  # fewer bodies in the chain: MJX compiles each level anew
