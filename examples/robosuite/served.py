"""The environment in the words of a served policy, for `glam_jax_client.evaluate`."""

import numpy as np
from environment import CONTROL_HZ, make_env
from scipy.spatial.transform import Rotation

# As config.py has them.
VIEWS = {"front": "agentview", "side": "sideview", "wrist": "robot0_eye_in_hand"}
OPEN = 0.08  # m


class Served:
    """An `environment.Environment` whose observations and actions are a policy's.

    Observations have `image_VIEW`, `ee_pose` (10,) and `proprio` (8,). An action (8,) ends with
    the gripper command, 1 open and 0 closed. An episode ends with robosuite's success.
    """

    metadata = {"render_fps": CONTROL_HZ}

    def __init__(self, task: str, robot: str = "Kinova3", image_size: int = 64):
        self._environment = make_env(task, robot, image_size)

    def reset(self, seed: int) -> tuple[dict[str, np.ndarray], dict]:
        """A start of robosuite, the same for the same seed."""
        observation, info = self._environment.reset(seed)
        return _in_words(observation), info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        """Carries out one action."""
        command = np.append(action[:7], 1.0 - 2.0 * action[7])
        observation, *rest = self._environment.step(command)
        return _in_words(observation), *rest

    def render(self) -> np.ndarray:
        """A picture (H, W, 3) uint8."""
        return self._environment.render()


def _in_words(seen):
    columns = Rotation.from_quat(seen["robot0_eef_quat_site"]).as_matrix()[:, :2].T.ravel()
    opening = seen["gripper_opening"] / OPEN
    pose = [*seen["robot0_eef_pos"], *columns, *np.clip(opening, 0.0, 1.0)]
    images = {f"image_{view}": seen[f"{camera}_image"] for view, camera in VIEWS.items()}
    proprio = np.concatenate([seen["robot0_joint_pos"], opening])
    return images | {"ee_pose": np.float32(pose), "proprio": np.float32(proprio)}
