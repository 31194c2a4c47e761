"""One MetaWorld task with pictures: what is demonstrated, and what a policy is measured in."""

import gymnasium
import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

# MetaWorld steps at 80 Hz. An action is held for two of its steps, as in CLAM's code.
REPEAT = 2
CONTROL_HZ = 80.0 / REPEAT
MAX_STEPS = 500 // REPEAT  # MetaWorld's own limit
# Fixed in a corner, and above the fingers. The corner camera hangs upside down.
CAMERAS = ("corner", "gripperPOV")
# Camera -> vertical field of view, degrees, where it is not MetaWorld's (45 for the corner): a
# narrower one makes the objects larger than a few pixels.
FIELD_OF_VIEW = {"corner": 32.0}
# MetaWorld keeps the rotation of the hand; quaternion xyzw of what it asks for.
HAND_QUAT = np.float32([0.0, np.sqrt(0.5), 0.0, np.sqrt(0.5)])
# Measured starts; those of demonstrations are below.
FIRST_TEST_SEED = 1_000_000


class Task(gymnasium.Env):
    """A task of MetaWorld 3 whose scene follows from the seed of `reset`.

    An observation has `CAMERA_image` (H, W, 3) uint8 of each camera, and, float32, `hand_pos` (3,)
    m, `hand_quat` (4,) xyzw, always the same, `gripper_opening` (1,) 0 to 1, `joint_pos` (7,) rad
    and `state` (39,), MetaWorld's own observation with the goal. An action is MetaWorld's: three
    differences of position in [-1, 1], 1 for 1 cm in each of MetaWorld's steps, and the effort that
    closes the gripper, in [-1, 1].
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}
    render_mode = "rgb_array"

    def __init__(self, task: str, image_size: int = 64, cameras: tuple[str, ...] = CAMERAS):
        """
        Args:
          task: a name such as reach-v3. image_size: pixels. cameras: names in MetaWorld's model.
        """
        self._world = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-goal-observable"]()
        self._world._freeze_rand_vec = False  # or each reset brings the same scene
        self._world.seeded_rand_vec = True
        self._cameras = cameras
        for camera, degrees in FIELD_OF_VIEW.items():
            self._world.model.camera(camera).fovy = degrees
        self._renderer = mujoco.Renderer(self._world.model, image_size, image_size)
        self.action_space = self._world.action_space
        self.observation_space = gymnasium.spaces.Dict(
            {name: _space(array) for name, array in self.reset(seed=0)[0].items()}
        )

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """(observation, info) of the scene of a seed, or of the next one."""
        if seed is not None:
            self._world.seed(seed)
        self._state, info = self._world.reset()
        self._steps = 0
        return self._observe(), info

    def step(self, action: np.ndarray):
        """(observation, reward, terminated, truncated, info) after `REPEAT` steps of MetaWorld.

        `info["success"]` is 1 where the task is done now. An episode is never terminated.
        """
        action = np.clip(action, self.action_space.low, self.action_space.high)
        for _ in range(REPEAT):
            self._state, reward, _, _, info = self._world.step(action)
        self._steps += 1
        return self._observe(), float(reward), False, self._steps == MAX_STEPS, info

    def render(self) -> np.ndarray:
        """The pictures of all cameras side by side, (H, cameras x W, 3)."""
        return np.concatenate([self._picture(camera) for camera in self._cameras], axis=1)

    def close(self) -> None:
        """Frees the renderer, or the pictures of the next task in the process may be wrong."""
        self._renderer.close()

    def _observe(self) -> dict[str, np.ndarray]:
        seen = {f"{camera}_image": self._picture(camera) for camera in self._cameras}
        return seen | {
            "hand_pos": self._state[:3].astype(np.float32),
            "hand_quat": HAND_QUAT,
            "gripper_opening": self._state[3:4].astype(np.float32),
            "joint_pos": self._world.data.qpos[:7].astype(np.float32),
            "state": self._state.astype(np.float32),
        }

    def _picture(self, camera: str) -> np.ndarray:
        self._renderer.update_scene(self._world.data, camera)
        # Without a GPU, shadows and reflections take several times as long as all the rest.
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return self._renderer.render()


def make_env(task: str, image_size: int = 64, cameras: tuple[str, ...] = CAMERAS) -> Task:
    """A task; see `Task`."""
    return Task(task, image_size, cameras)


def _space(array: np.ndarray) -> gymnasium.spaces.Box:
    low, high = (0, 255) if array.dtype == np.uint8 else (-np.inf, np.inf)
    return gymnasium.spaces.Box(low, high, array.shape, array.dtype)
