"""End-effector poses from what is stored: positions and rotations, or joints and a model."""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from glam_jax.own_data import rotations
from glam_jax.own_data.forward_kinematics import Robot
from glam_jax.own_data.key_map import METRES, KeyMap
from glam_jax.own_data.selector import Selector, naming


def finite(values: np.ndarray) -> np.ndarray:
    """Numbers (T, n) as float64; raises ValueError for what is not finite, with its step."""
    flat = np.asarray(values, np.float64)
    if not (fine := np.isfinite(flat).all(axis=1)).all():
        step = int(np.flatnonzero(~fine)[0])
        raise ValueError(f"step {step}: found {flat[step].tolist()}, expected finite numbers")
    return flat


class Poses:
    """Reads the poses of a source; the robot's file is read once."""

    def __init__(self, keys: KeyMap):
        """Raises DataError where the robot's file is missing, or has no such joint or body."""
        self._keys = keys
        self._robot = Robot(keys.robot_file) if keys.robot_file else None
        if self._robot:
            self._robot.check(keys.robot_joints, keys.robot_tool)
        self._base = Rotation.from_quat(keys.base_rotation).as_matrix()

    def read(self, arrays: Mapping[str, np.ndarray], arms: int) -> list[np.ndarray]:
        """Of each arm: positions (T, 3), m; rotations (T, 3, 3); openings (T, 1), 0 to 1.

        All in the workspace's frame, of the point between the fingers. A pose that is not recorded
        is the frame itself, closed.

        Raises:
          ValueError: numbers that are not finite, or no rotations; names the key and the step.
        """
        keys, found = self._keys, []
        length = len(next(iter(arrays.values())))
        for arm in range(arms):
            if keys.has_pose:
                position, turned = (self._of_joints if self._robot else self._stored)(arrays, arm)
                point = position + turned @ np.asarray(keys.tool_offset)
                found += [point @ self._base.T + np.asarray(keys.base_position)]
                found += [self._base @ turned]
            else:
                found += [np.zeros((length, 3)), np.tile(np.eye(3), (length, 1, 1))]
            found.append(self._opening(arrays, arm, length))
        return found

    def _stored(self, arrays: Mapping, arm: int) -> tuple[np.ndarray, np.ndarray]:
        keys = self._keys
        position, rotation = (keys.numbers[role][arm] for role in ("position", "rotation"))
        with naming(position.text):
            values = finite(position.pick(arrays))
            if values.shape[1] == 16 and keys.rotation_form in rotations.POSES:
                values = values[:, rotations.POSES[keys.rotation_form]]
            values = _wide(values, 3) * METRES[keys.position_unit]
        with naming(rotation.text):
            stored = rotation.pick(arrays)
            return values, rotations.matrices(stored, keys.rotation_form, keys.angle_unit)

    def _of_joints(self, arrays: Mapping, arm: int) -> tuple[np.ndarray, np.ndarray]:
        keys, selector = self._keys, self._keys.numbers["joints"][arm]
        each = len(keys.robot_joints) // len(keys.robot_tool)
        names = keys.robot_joints[arm * each : (arm + 1) * each]
        with naming(selector.text):
            values = _wide(finite(selector.pick(arrays)), each)
        if keys.joint_unit == "deg":
            values = np.deg2rad(values)
        return self._robot.poses(names, values, keys.robot_tool[arm])

    def _opening(self, arrays: Mapping, arm: int, length: int) -> np.ndarray:
        keys = self._keys
        if not keys.gripper:
            return np.zeros((length, 1))
        selector: Selector = keys.numbers["gripper"][arm]
        with naming(selector.text):
            values = finite(selector.pick(arrays))
            if values.shape[1] == 2:  # two opposed fingers, whatever their signs
                values = np.abs(values).sum(axis=1, keepdims=True)
            values = _wide(values, 1)
        span = keys.gripper_open - keys.gripper_closed
        return np.clip((values - keys.gripper_closed) / span, 0.0, 1.0)


def _wide(values: np.ndarray, expected: int) -> np.ndarray:
    if values.shape[1] != expected:
        raise ValueError(f"found {values.shape[1]} numbers a step, expected {expected}")
    return values
