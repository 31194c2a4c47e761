"""Serves a trained policy over WebSocket, in the protocol of openpi's client.

    python -m glam_jax.serve --workdir=runs/lifting_glam_o_quick_seed0 --port=8000

Listens on this computer alone. `--host=0.0.0.0` lets others in, which needs a token, in a file
(`--token_file`) or in the environment (GLAM_JAX_TOKEN); the traffic is not encrypted, so let it
cross other networks through SSH or a proxy that speaks TLS. What actions are kept within and how
chunks are carried out: `--config.NAME=...`, see `glam_jax/serving/settings.py`. Ends on SIGINT or
SIGTERM.
"""

import asyncio
import functools
import json
import os
import time
from pathlib import Path

import numpy as np
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from glam_jax import entry, schema
from glam_jax.policy import Policy, load_policy
from glam_jax.serving import border, settings
from glam_jax.serving.execution import Ensemble, Receding
from glam_jax.serving.server import PolicyServer, check_exposure
from glam_jax.serving.session import Service

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run with a trained policy.")
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 8000, "Port to listen on; 0: any that is free.", 0, 65535)
_TOKEN_FILE = flags.DEFINE_string("token_file", None, "File with the token of the clients.")
_CONFIG = config_flags.DEFINE_config_dict("config", settings.make(), "How to serve it.")


def make_service(policy: Policy, config: ConfigDict) -> Service:
    """A policy with all that its sessions need.

    Raises:
      SettingsError: see `settings.limits` and `settings.execute`.
    """
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


def read_token(path: str | None) -> str | None:
    """The token from a file or from the environment, None if there is none.

    Raises:
      FileNotFoundError: there is no such file.
      SettingsError: the file is empty.
    """
    if path is None:
        return os.environ.get("GLAM_JAX_TOKEN") or None
    if token := Path(path).read_text().strip():
        return token
    raise settings.SettingsError(f"{path}: found an empty file; expected a token")


def main(_):
    logging.set_verbosity(logging.WARNING)
    token = read_token(_TOKEN_FILE.value)
    check_exposure(_HOST.value, token)
    config, policy = _CONFIG.value, load_policy(_WORKDIR.value)
    service = make_service(policy, config)
    server = PolicyServer(
        service,
        token,
        max_message_bytes=config.max_message_bytes,
        max_clients=config.max_clients,
    )
    took = warm_up(policy)

    def ready(host: str, port: int) -> None:
        print(
            f"Serving {policy.config.task} on ws://{host}:{port}, {took:.1f} ms a chunk.",
            flush=True,
        )

    asyncio.run(server.run(_HOST.value, _PORT.value, ready))
    print(json.dumps(server.stats()))


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    entry.run(main)
