"""A MetaWorld task as a served policy sees it, for `python -m glam_jax_client.evaluate`."""

import gymnasium
import numpy as np
from environment import make_env as make_task
from scipy.spatial.transform import Rotation


class Seen(gymnasium.ObservationWrapper):
    """Observations named and laid out as config.py makes them for training."""

    def observation(self, observation: dict) -> dict[str, np.ndarray]:
        """`image_corner`, `image_hand` (H, W, 3), `ee_pose` (10,) and `proprio` (8,)."""
        columns = Rotation.from_quat(observation["hand_quat"]).as_matrix().T[:2].ravel()
        opening = observation["gripper_opening"]
        return {
            "image_corner": observation["corner_image"],
            "image_hand": observation["gripperPOV_image"],
            "ee_pose": np.float32([*observation["hand_pos"], *columns, *opening]),
            "proprio": np.concatenate([observation["joint_pos"], opening]),
        }


def make_env(task: str, image_size: int = 64) -> gymnasium.Env:
    """A task such as reach-v3."""
    return Seen(make_task(task, image_size))
