"""A loaded policy made ready to be served."""

import functools
import time

import numpy as np
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.serve import border, settings
from glam_jax.serve.execution import Ensemble, Receding
from glam_jax.serve.policy import Policy
from glam_jax.serve.session import Service


def make_service(policy: Policy, config: ConfigDict) -> Service:
    """A policy with all that its sessions need.

    Raises:
      SettingsError: the policy's actions are not seven joint targets and a gripper command an
        arm, which the limits are for. Else see `settings.limits` and `settings.execute`.
    """
    _check_limitable(policy)
    execute = settings.execute(config, policy.chunk, policy.execute)
    make_execution = functools.partial(Receding, execute)
    if config.mode == "ensemble":
        make_execution = functools.partial(Ensemble, policy.chunk, config.ensemble_decay)
    limits = settings.limits(config, policy.action_bounds, policy.control_hz)
    return Service(
        policy=policy,
        spec=policy.observation_spec,
        allowed=border.ranges(policy.params["stats"], config.range_margin),
        limits=limits,
        make_execution=make_execution,
        forget_s=config.forget_s,
        metadata=_metadata(policy, config, make_execution().execute, limits),
    )


def _check_limitable(policy: Policy) -> None:
    """Speed limits compare commands with measured joints, so both must be laid out alike."""
    widths = (policy.layout.arm_proprio, policy.layout.arm_action)
    kind = policy.target.action_kind
    if kind != "joint_positions" or widths != (schema.ACTION_DIM, schema.ACTION_DIM):
        raise settings.SettingsError(
            f"this policy's proprioception and actions have {widths[0]} and {widths[1]} numbers an "
            f"arm, actions of kind {kind}; only {schema.ACTION_DIM} and {schema.ACTION_DIM} of "
            "kind joint_positions can be served within limits. Use glam_jax.load_policy and your "
            "own limits"
        )


def _metadata(policy: Policy, config: ConfigDict, execute: int, limits) -> dict:
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
