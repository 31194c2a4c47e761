"""Serves a trained policy over WebSocket, in the protocol of openpi's client.

    python -m glam_jax.serve --workdir=runs/lifting_glam_o_quick_seed0 --port=8000

Listens on this computer alone. `--host=0.0.0.0` lets others in, which needs a token, in a file
(`--token_file`) or in the environment (GLAM_JAX_TOKEN); the traffic is not encrypted, so let it
cross other networks through SSH or a proxy that speaks TLS. What actions are kept within and how
chunks are carried out: `--config.NAME=...`, see `glam_jax/serve/service.py`. Ends on SIGINT or
SIGTERM.
"""

import asyncio
import gc
import json

from absl import flags
from ml_collections import config_flags

from glam_jax.runtime import entry
from glam_jax.serve import service
from glam_jax.serve.policy import load_policy
from glam_jax.serve.server import PolicyServer, check_exposure

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run with a trained policy.")
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 8000, "Port to listen on; 0: any that is free.", 0, 65535)
_TOKEN_FILE = flags.DEFINE_string("token_file", None, "File with the token of the clients.")
_CONFIG = config_flags.DEFINE_config_dict("config", service.settings(), "How to serve it.")


def main(_):
    token = service.read_token(_TOKEN_FILE.value)
    check_exposure(_HOST.value, token)
    config, policy = _CONFIG.value, load_policy(_WORKDIR.value)
    served = service.make_service(policy, config)
    server = PolicyServer(
        served,
        token,
        max_message_bytes=config.max_message_bytes,
        max_clients=config.max_clients,
        message_s=config.message_s,
    )
    took = service.warm_up(policy)
    # What lives as long as the server is not searched again, while a robot waits.
    gc.collect()
    gc.freeze()

    def ready(host: str, port: int) -> None:
        print(f"Serving {policy.config.task} on ws://{host}:{port}, {took:.1f} ms a chunk.")
        print(service.describe_limits(served.metadata), flush=True)

    asyncio.run(server.run(_HOST.value, _PORT.value, ready))
    print(json.dumps(server.stats()))


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    entry.run(main)
