"""robosuite's Lift and Stack, as they are recorded and measured here: joint targets at 10 Hz."""

import os
from collections.abc import Sequence
from typing import NamedTuple

os.environ.setdefault("MUJOCO_GL", "osmesa")  # before robosuite is imported

import mujoco
import numpy as np
import robosuite
from robosuite.controllers import load_composite_controller_config
from scipy.spatial.transform import Rotation

CONTROL_HZ = 10
ROBOTS = ("Kinova3", "Panda")


class Task(NamedTuple):
    """`cubes`: names of what is manipulated, first what the hand takes. `horizon`: steps."""

    cubes: tuple[str, ...]
    horizon: int


TASKS = {"Lift": Task(("cube",), 100), "Stack": Task(("cubeA", "cubeB"), 200)}


class Camera(NamedTuple):
    """Where a camera is and what it looks at, m; its vertical angle of view, degrees."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    angle: float


# robosuite's own views, nearer: at 64 pixels a cube has about 7 of them, and not 3.
FIXED = {
    "agentview": Camera((0.6, 0.0, 1.3), (-0.05, 0.0, 0.87), 30.0),
    "sideview": Camera((-0.04, 1.0, 1.25), (-0.04, 0.0, 0.895), 27.0),
}
# In the hand's frame (x along the fingers' opening, z out of the hand): alike on all robots.
HAND_NAME, HAND = "robot0_eye_in_hand", Camera((0.0, 0.075, -0.1), (0.0, 0.035, 0.04), 75.0)
CAMERAS = (*FIXED, HAND_NAME)

# robosuite's numbers that are recorded. Position and `quat_site` are of one point between the
# fingers, robosuite's grip site; `robot0_eef_quat` is of the arm's last link.
NUMBERS = (
    "robot0_joint_pos",
    "robot0_joint_vel",
    "robot0_eef_pos",
    "robot0_eef_quat",
    "robot0_eef_quat_site",
    "robot0_gripper_qpos",
)


class Environment:
    """One world, in gymnasium's manner.

    An action is (8,): 7 joint targets (rad) and robosuite's gripper command, which opens below 0
    and closes above. An observation has `NUMBERS`, `gripper_opening` (1,) in m between the pads
    and, of each camera, `CAMERA_image` (H, W, 3) uint8 and `CAMERA_mask` (H, W, 1) uint8, 255 on
    the cubes.
    """

    control_hz = CONTROL_HZ

    def __init__(
        self, task: str, robot: str, image_size: int = 64, cameras: Sequence[str] = CAMERAS
    ):
        """
        Args:
          task: a name of `TASKS`. robot: a name of `ROBOTS`. image_size: pixels.
          cameras: whose pictures are observed.

        Raises:
          ValueError: another task or robot.
        """
        if task not in TASKS or robot not in ROBOTS:
            known = f"{', '.join(TASKS)} by {' or '.join(ROBOTS)}"
            raise ValueError(f"found {task} by {robot}; expected {known}")
        self.task, self.horizon = task, TASKS[task].horizon
        self._size, self._cameras, self._steps = image_size, cameras, 0
        controller = load_composite_controller_config(robot=robot)
        controller["body_parts"]["right"].update(
            type="JOINT_POSITION", input_type="absolute", kp=150, interpolation=None
        )
        kwargs = dict(
            robots=robot,
            controller_configs=controller,
            control_freq=CONTROL_HZ,
            use_camera_obs=False,  # rendered here, where this example's cameras are
            camera_names=list(CAMERAS),
            camera_heights=image_size,
            camera_widths=image_size,
            has_renderer=False,
            has_offscreen_renderer=True,
            ignore_done=True,
            renderer="mujoco",
        )
        # What robomimic keeps with a dataset; type 1 is robosuite.
        version = robosuite.__version__
        self.env_args = dict(env_name=task, env_version=version, type=1, env_kwargs=kwargs)
        self._env = robosuite.make(task, **kwargs)

    def reset(self, seed: int) -> tuple[dict[str, np.ndarray], dict]:
        """A start of robosuite's own distribution, the same for the same seed."""
        self._env.rng = np.random.default_rng(seed)
        self._env.placement_initializer = None  # made anew, with this generator
        self._env.reset()
        self._steps = 0
        self._place_cameras()
        # A reflection of 1% on the floor would double the time of every picture.
        scene = self._env.sim._render_context_offscreen.scn
        scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        return self._observe(), {"success": False}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        """Observation, robosuite's reward, terminated (success), truncated, `info["success"]`."""
        _, reward, _, _ = self._env.step(np.asarray(action, np.float64))
        self._steps += 1
        success = bool(self._env._check_success())
        truncated = self._steps >= self.horizon
        return self._observe(), float(reward), success, truncated, {"success": success}

    def render(self, camera: str = "agentview", size: int = 256) -> np.ndarray:
        """A picture (size, size, 3) uint8."""
        picture = self._env.sim.render(camera_name=camera, width=size, height=size)
        return np.ascontiguousarray(picture[::-1])  # OpenGL begins at the bottom

    # ----------------------------------------------------------------- what an expert may know

    @property
    def model(self) -> mujoco.MjModel:
        """MuJoCo's model of the world; another one after each reset."""
        return self._env.sim.model._model

    @property
    def data(self) -> mujoco.MjData:
        """MuJoCo's state of the world."""
        return self._env.sim.data._data

    @property
    def hand_site(self) -> str:
        """Name of the site between the fingers."""
        return self._env.robots[0].gripper["right"].important_sites["grip_site"]

    @property
    def joint_addresses(self) -> list[int]:
        """Where the arm's joints are in `data.qpos`."""
        return self._env.robots[0]._ref_joint_pos_indexes

    @property
    def posture(self) -> np.ndarray:
        """The arm's joints (7,) in robosuite's start, without noise, rad."""
        return np.array(self._env.robots[0].init_qpos)

    def cube(self, name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Centre (3,), rotation (3, 3) and half an edge (m) of a cube as it is now."""
        body = self.data.body(f"{name}_main")
        return body.xpos.copy(), body.xmat.reshape(3, 3).copy(), self._cube(name).size[2]

    # ----------------------------------------------------------------- inside

    def _cube(self, name):
        return next(o for o in self._env.model.mujoco_objects if o.name == name)

    def _place_cameras(self):
        for name, camera in FIXED.items():
            found = self.model.camera(name)
            found.pos, found.fovy = camera.position, camera.angle
            found.quat = _wxyz(_looking(camera, up=(0.0, 0.0, 1.0)))
        found, site = self.model.camera(HAND_NAME), self.data.site(self.hand_site)
        link = self.data.body(int(found.bodyid[0]))
        to_link = link.xmat.reshape(3, 3).T
        turned = to_link @ site.xmat.reshape(3, 3)
        found.pos = to_link @ (site.xpos - link.xpos) + turned @ HAND.position
        found.quat = _wxyz(turned @ _looking(HAND, up=(0.0, 1.0, 0.0)))
        found.fovy = HAND.angle
        self.model.site_size[:] = 1e-8  # markers of robosuite, which masks would show
        mujoco.mj_forward(self.model, self.data)

    def _observe(self):
        found = self._env._get_observations(force_update=True)
        seen = {name: np.asarray(found[name], np.float64) for name in NUMBERS}
        seen["gripper_opening"] = np.array([self._opening()])
        for camera in self._cameras:
            seen[f"{camera}_image"] = self.render(camera, self._size)
            seen[f"{camera}_mask"] = self._mask(camera)
        return seen

    def _opening(self):
        """Distance (m) of the pads' surfaces along the direction in which the fingers open."""
        gripper = self._env.robots[0].gripper["right"]
        pads = [gripper.important_geoms[f"{side}_fingerpad"][0] for side in ("left", "right")]
        apart = self.data.geom(pads[0]).xpos - self.data.geom(pads[1]).xpos
        across = self.data.site(self.hand_site).xmat.reshape(3, 3)[:, 0]
        thick = sum(self.model.geom(pad).size[1] for pad in pads)
        return abs(apart @ across) - thick

    def _mask(self, camera):
        kinds, ids = np.moveaxis(
            self._env.sim.render(
                camera_name=camera, width=self._size, height=self._size, segmentation=True
            )[::-1],
            -1,
            0,
        )
        cubes = [self._cube(name) for name in TASKS[self.task].cubes]
        geoms = [self.model.geom(g).id for cube in cubes for g in cube.visual_geoms]
        on_cubes = np.isin(ids, geoms) & (kinds == mujoco.mjtObj.mjOBJ_GEOM)
        return np.where(on_cubes, 255, 0).astype(np.uint8)[..., None]


def make_env(task: str, robot: str, image_size: int = 64, **kwargs) -> Environment:
    """An `Environment`; see there for the arguments and what it raises."""
    return Environment(task, robot, image_size, **kwargs)


def _looking(camera, up):
    """Rotation (3, 3) of a camera; it looks along its negative z axis."""
    back = np.subtract(camera.position, camera.target)
    right = np.cross(up, back)
    axes = np.stack([right, np.cross(back, right), back], axis=1)
    return axes / np.linalg.norm(axes, axis=0)


def _wxyz(rotation):
    return np.roll(Rotation.from_matrix(rotation).as_quat(), 1)
