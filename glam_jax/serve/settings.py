"""What a server is told: limits, how chunks are carried out, how much it takes on.

Apart from the config of a run: the same policy may be served to several robots, and how it is
served changes nothing of what was trained. Every value is a flag, `--config.joint_speed=...`, and
flags can be kept in a file, `--flagfile=our_arm.flags`.
"""

import os

import numpy as np
from ml_collections import ConfigDict

from glam_jax import files
from glam_jax.errors import UserError
from glam_jax.schema import ACTION_DIM
from glam_jax.serve.execution import MODES
from glam_jax.serve.limits import Limits


class SettingsError(UserError, ValueError):
    """A server that cannot start as it was told to."""


def make() -> ConfigDict:
    """The default settings, locked."""
    settings = ConfigDict()
    # chunk: a reply is the head of a chunk. ensemble: one action, averaged over chunks.
    settings.mode = "chunk"
    settings.execute = 0  # actions in a reply of mode chunk; 0: as the run was evaluated
    settings.ensemble_decay = 0.01  # of the weights of newer chunks; negative prefers newer ones
    settings.joint_low = ()  # lowest, per arm, rad; empty: the limits of the run's robot
    settings.joint_high = ()  # highest, likewise
    # Per arm, rad/s: about what a Kinova Gen3's large and small actuators are rated for. 0: no
    # limit.
    settings.joint_speed = (1.39, 1.39, 1.39, 1.39, 1.22, 1.22, 1.22)
    settings.gripper_speed = 0.0  # of the gripper command, 1/s; 0: left to the gripper
    # Seconds after which the last command is no longer taken for where the arm is going, and
    # the speed limit starts from the measured joints.
    settings.forget_s = 10.0
    # Poses and joints may lie outside the demonstrations' range by this many times its width;
    # negative: anywhere.
    settings.range_margin = 1.0
    settings.max_message_bytes = 4 << 20  # of one observation
    settings.max_clients = 64  # connections at once
    return settings.lock()


def execute(settings: ConfigDict, chunk: int, evaluated: int) -> int:
    """Actions in a reply of mode "chunk".

    Raises:
      SettingsError: an unknown mode, or more actions than a chunk has.
    """
    if settings.mode not in MODES:
        raise SettingsError(f"config.mode is {settings.mode!r}; expected {' or '.join(MODES)}")
    count = settings.execute or evaluated
    if not 1 <= count <= chunk:
        raise SettingsError(f"config.execute is {count}; expected 1 to {chunk}, the chunk")
    return count


def limits(
    settings: ConfigDict, bounds: tuple[np.ndarray, np.ndarray], control_hz: float
) -> Limits:
    """The limits of a robot's actions, all arms.

    Args:
      settings: see `make`.
      bounds: the robot's own lowest and highest action, each (A,).
      control_hz: commands per second.

    Raises:
      SettingsError: numbers that are not seven an arm, limits without room between them, or a
        negative speed.
    """
    low, high = (np.array(edge, np.float32).reshape(-1, ACTION_DIM) for edge in bounds)
    step = np.full(low.shape, np.inf)
    low[:, :-1] = _per_joint("joint_low", settings.joint_low, low[:, :-1])
    high[:, :-1] = _per_joint("joint_high", settings.joint_high, high[:, :-1])
    speeds = _per_joint("joint_speed", settings.joint_speed, np.zeros(ACTION_DIM - 1))
    speeds = np.append(speeds, settings.gripper_speed)
    if not (speeds >= 0).all():
        raise SettingsError(f"speeds are {speeds.tolist()}; expected 0 (no limit) or more")
    if not (low < high).all():
        raise SettingsError("config.joint_low is not below config.joint_high for every joint")
    step[:, speeds > 0] = speeds[speeds > 0] / control_hz
    return Limits(low.ravel(), high.ravel(), step.ravel().astype(np.float32))


def _per_joint(name: str, given, default: np.ndarray) -> np.ndarray:
    values = np.asarray(given, np.float64)
    if not len(values):
        return default
    if values.shape != (ACTION_DIM - 1,) or not np.isfinite(values).all():
        raise SettingsError(f"config.{name} is {given}; expected {ACTION_DIM - 1} numbers, or ()")
    return values


def read_token(path: str | None) -> str | None:
    """The token from a file or from the environment, None if there is none.

    Raises:
      FileNotFoundError: there is no such file.
      SettingsError: the file is empty.
    """
    if path is None:
        return os.environ.get("GLAM_JAX_TOKEN") or None
    if token := files.read_text(path).strip():
        return token
    raise SettingsError(f"{path}: found an empty file; expected a token")
