"""A loaded policy made ready to be served, as a server is told to.

What it is told is apart from the config of a run: the same policy may be served to several robots,
and how it is served changes nothing of what was trained. Every value is a flag,
`--config.action_speed=...`, and flags can be kept in a file, `--flagfile=our_arm.flags`.
"""

import functools
import os
import time

import numpy as np
from ml_collections import ConfigDict

from glam_jax import files, schema
from glam_jax.errors import UserError
from glam_jax.serve import border
from glam_jax.serve.actions import MODES, Ensemble, Receding
from glam_jax.serve.limits import Limits
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
    # Lowest and highest action, in the units that the client receives: one number for all, one for
    # each number of an arm, or one for each number. Empty: the robot's limits, or with own data
    # those that the demonstrations kept within.
    settings.action_low = ()
    settings.action_high = ()
    # Fastest change of each number from one action to the next, a second; 0 sets no limit. Empty:
    # what the robot's actuators are rated for, or with own data the fastest demonstrated one.
    settings.action_speed = ()
    # Seconds after which the last command is no longer taken for where the arm is going, and
    # the speed limit starts from the measured joints, or from the first new command.
    settings.forget_s = 10.0
    # Poses and joints may lie outside the demonstrations' range by this many times its width;
    # a negative value admits any.
    settings.range_margin = 1.0
    settings.max_message_bytes = 4 << 20  # Most bytes of one observation.
    settings.max_clients = 64  # Most connections at a time.
    settings.message_s = 5.0  # Seconds after which a message that is still unfinished is given up.
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


def limits(settings: ConfigDict, own: Limits, arms: int, control_hz: float) -> Limits:
    """What all actions are kept within.

    Args:
      settings: see `settings`. own: what holds where they say nothing.
      arms: how many the robot has. control_hz: commands per second.

    Raises:
      SettingsError: numbers that are not one for each number of an action, limits without room
        between them, or a negative speed.
    """
    low, high, speed = (
        _numbers(f"action_{name}", settings[f"action_{name}"], len(own.low), arms)
        for name in ("low", "high", "speed")
    )
    low, high = own.low if low is None else low, own.high if high is None else high
    if not (low <= high).all():
        i = int(np.flatnonzero(low > high)[0])
        raise SettingsError(
            f"the lowest action[{i}] is {low[i]:g}, the highest {high[i]:g}; expected room between "
            "config.action_low and config.action_high"
        )
    if speed is None:
        return Limits(low, high, own.step)
    if not (speed >= 0).all():
        raise SettingsError(f"config.action_speed is {speed.tolist()}; expected 0 (none) or more")
    step = np.where(speed > 0, speed / control_hz, np.inf)
    return Limits(low, high, step.astype(np.float32))


def _numbers(name: str, given, width: int, arms: int) -> np.ndarray | None:
    """(A,) of numbers that were given for all of an action, an arm, or each number of it; None if
    none were."""
    values = np.asarray(given, np.float32)
    if not values.size:
        return None
    lengths = {1, width} | ({width // arms} if width % arms == 0 else set())
    if values.ndim != 1 or len(values) not in lengths or not np.isfinite(values).all():
        wanted = " or ".join(map(str, sorted(lengths)))
        raise SettingsError(f"config.{name} is {given}; expected {wanted} numbers, or ()")
    return np.tile(values, width // len(values))


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
      SettingsError: see `limits` and `execute`.
    """
    count = execute(config, policy.chunk, policy.execute)
    make_execution = functools.partial(Receding, count)
    if config.mode == "ensemble":
        make_execution = functools.partial(Ensemble, policy.chunk, config.ensemble_decay)
    kept_within = limits(config, policy.limits, policy.layout.arms, policy.control_hz)
    allowed = border.ranges(policy.params["stats"], config.range_margin)
    return Service(
        read=functools.partial(policy.read, allowed=allowed),
        policy=policy.chunk_for,
        measured=policy.measured,
        limits=kept_within,
        make_execution=make_execution,
        forget_s=config.forget_s,
        metadata=_metadata(policy, config, make_execution().execute, kept_within),
    )


def _metadata(policy: Policy, config: ConfigDict, execute: int, limits: Limits) -> dict:
    form = policy.form
    return {
        "server": "glam_jax",
        "task": policy.config.task,
        "method": policy.config.method,
        "target": schema.title(policy.config.data.target),
        "checkpoint": policy.checkpoint,
        "observation": {
            name: {"shape": shape, "dtype": str(dtype), "units": form.units[name]}
            for name, (shape, dtype) in form.spec.items()
        },
        border.PROMPT: "taken, and changes nothing: language conditions nothing yet",
        "action_dim": len(limits.low),
        "action_parts": form.parts,
        "action_kind": policy.target.action_kind,
        "action_units": form.action_units,
        "action_low": limits.low,
        "action_high": limits.high,
        "action_speed": limits.step * policy.control_hz,
        "mode": config.mode,
        "chunk": policy.chunk,
        "execute": execute,
        "control_hz": policy.control_hz,
    }


def describe_limits(metadata: dict) -> str:
    """What actions are kept within, for a person: a line for each number."""
    names = [f"{name}[{i}]" for name, n in metadata["action_parts"].items() for i in range(n)]
    edges = [metadata[f"action_{edge}"] for edge in ("low", "high", "speed")]
    lines = [f"Actions are {metadata['action_kind']}, {metadata['action_units']}. Limits:"]
    for name, low, high, speed in zip(names, *edges, strict=True):
        most = "at any speed" if np.isinf(speed) else f"at most {speed:.4g} a second"
        lines.append(f"  {name:<{max(map(len, names))}}  {low:.4g} to {high:.4g}, {most}")
    return "\n".join(lines)


def warm_up(policy: Policy) -> float:
    """Compiles the policy for one observation; returns the ms of a call after that."""
    arrays = border.observation_spec(policy.layout).items()
    zeros = {name: np.zeros(shape, dtype) for name, (shape, dtype) in arrays}
    policy.chunk_for(zeros)
    began = time.perf_counter()
    policy.chunk_for(zeros)
    return 1e3 * (time.perf_counter() - began)
