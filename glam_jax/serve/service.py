"""A loaded policy made ready to be served, as a server is told to.

What it is told is apart from the config of a run: the same policy may be served to several robots,
and how it is served changes nothing of what was trained. Every value is a flag,
`--config.joint_speed=...`, and flags can be kept in a file, `--flagfile=our_arm.flags`.
"""

import functools
import os
import time

import numpy as np
from ml_collections import ConfigDict

from glam_jax import files, schema
from glam_jax.errors import UserError
from glam_jax.schema import ACTION_DIM
from glam_jax.serve import border
from glam_jax.serve.actions import MODES, Ensemble, Limits, Receding
from glam_jax.serve.policy import Policy
from glam_jax.serve.session import Service


class SettingsError(UserError, ValueError):
    """A server that cannot start as it was told to."""


def settings() -> ConfigDict:
    """The default settings, locked."""
    settings = ConfigDict()
    # chunk: a reply is the first actions of a chunk. ensemble: a reply is one action, averaged over
    # chunks.
    settings.mode = "chunk"
    settings.execute = 0  # Actions in a reply of mode chunk; 0 takes those of the run's evaluation.
    settings.ensemble_decay = 0.01  # Decay of weights from old to new chunks.
    settings.joint_low = ()  # Lowest joint targets of an arm, rad; empty: the robot's limits.
    settings.joint_high = ()  # Highest joint targets of an arm, rad; empty likewise.
    # Fastest change of joint targets, rad/s; 0 sets no limit. About what the large and the small
    # actuators of a Kinova Gen3 are rated for.
    settings.joint_speed = (1.39, 1.39, 1.39, 1.39, 1.22, 1.22, 1.22)
    settings.gripper_speed = 0.0  # Fastest change of the gripper command, 1/s; 0 sets no limit.
    # Seconds after which the last command is no longer taken for where the arm is going, and
    # the speed limit starts from the measured joints.
    settings.forget_s = 10.0
    # Poses and joints may lie outside the demonstrations' range by this many times its width;
    # a negative value admits any.
    settings.range_margin = 1.0
    settings.max_message_bytes = 4 << 20  # Most bytes of one observation.
    settings.max_clients = 64  # Most connections at a time.
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
      settings: see `settings`.
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


def make_service(policy: Policy, config: ConfigDict) -> Service:
    """A policy with all that its sessions need.

    Raises:
      SettingsError: the policy's actions are not seven joint targets and a gripper command an
        arm, which the limits are for. Else see `limits` and `execute`.
    """
    _check_limitable(policy)
    count = execute(config, policy.chunk, policy.execute)
    make_execution = functools.partial(Receding, count)
    if config.mode == "ensemble":
        make_execution = functools.partial(Ensemble, policy.chunk, config.ensemble_decay)
    kept_within = limits(config, policy.action_bounds, policy.control_hz)
    return Service(
        policy=policy,
        spec=policy.observation_spec,
        allowed=border.ranges(policy.params["stats"], config.range_margin),
        limits=kept_within,
        make_execution=make_execution,
        forget_s=config.forget_s,
        metadata=_metadata(policy, config, make_execution().execute, kept_within),
    )


def _check_limitable(policy: Policy) -> None:
    """Speed limits compare commands with measured joints, so both must be laid out alike."""
    widths = (policy.layout.arm_proprio, policy.layout.arm_action)
    kind = policy.target.action_kind
    if kind != "joint_positions" or widths != (ACTION_DIM, ACTION_DIM):
        raise SettingsError(
            f"this policy's proprioception and actions have {widths[0]} and {widths[1]} numbers an "
            f"arm, actions of kind {kind}; only {ACTION_DIM} and {ACTION_DIM} of "
            "kind joint_positions can be served within limits. Use glam_jax.load_policy and your "
            "own limits"
        )


def _metadata(policy: Policy, config: ConfigDict, execute: int, limits: Limits) -> dict:
    spec = policy.observation_spec.items()
    return {
        "server": "glam_jax",
        "task": policy.config.task,
        "method": policy.config.method,
        "target": schema.title(policy.config.data.target),
        "observation": {k: {"shape": shape, "dtype": str(dtype)} for k, (shape, dtype) in spec},
        "action_dim": policy.layout.action_dim,
        "action_low": limits.low,
        "action_high": limits.high,
        "mode": config.mode,
        "chunk": policy.chunk,
        "execute": execute,
        "control_hz": policy.control_hz,
    }


def warm_up(policy: Policy) -> float:
    """Compiles the policy for one observation; returns the ms of a call after that."""
    zeros = {k: np.zeros(shape, dtype) for k, (shape, dtype) in policy.observation_spec.items()}
    policy(zeros)
    began = time.perf_counter()
    policy(zeros)
    return 1e3 * (time.perf_counter() - began)
