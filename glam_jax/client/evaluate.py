"""Measures a policy server on your own simulator.

    python -m glam_jax_client.evaluate --policy=ws://127.0.0.1:8000 --env=my_module:make_env

The environment is what `my_module.make_env(**env_args)` returns, or an id of gymnasium; see
`glam_jax_client.episodes.evaluate`. Progress and a summary are printed. With --out they are also
written, and the same command continues with the seeds that are missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from .episodes import evaluate
from .film import FilmError
from .policy_client import PolicyClient
from .record import RecordError
from .reply import PolicyError
from .simulator import SimulatorError, make
from .wire import WireError

# What the user, the server or the network can be the cause of.
EXPECTED = (
    *(PolicyError, SimulatorError, RecordError, FilmError, WireError),
    *(ConnectionError, PermissionError, TimeoutError),
)


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    told, env = _parser().parse_args(words), None
    try:
        env = make(told.env, told.env_args)
        token = told.token_file or os.environ.get("GLAM_JAX_TOKEN")
        with PolicyClient(told.policy, None, token, told.timeout) as client:
            evaluate(
                env,
                client,
                range(told.first_seed, told.first_seed + told.episodes),
                max_steps=told.max_steps,
                success=told.success,
                execute=told.execute,
                out=told.out,
                film=told.film,
                camera=told.camera,
                about={"env": told.env, "args": told.env_args},
            )
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        if hasattr(env, "close"):
            env.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--policy", default="ws://127.0.0.1:8000", help="address of the policy server")
    add("--token_file", type=_text, help="file with the server's token; else GLAM_JAX_TOKEN")
    add("--timeout", type=float, default=10.0, help="seconds to wait for a reply")
    add("--env", required=True, help="module:function that makes the environment, or gymnasium id")
    add("--env_args", type=_arguments, default={}, help='its arguments as JSON: {"name": value}')
    add("--episodes", type=_positive, default=50, help="how many episodes, one seed each")
    add("--first_seed", type=int, default=0, help="seed of the first episode")
    add("--max_steps", type=_positive, default=1000, help="steps of an episode at most")
    add("--success", help="key of info that tells success; else success or is_success")
    add("--execute", type=_positive, help="actions of a reply that are carried out; else all")
    add("--out", help="folder for episodes.json and films; an earlier one is continued")
    add("--film", type=int, default=0, help="how many episodes are filmed")
    add("--camera", help="image of the observation to film; else env.render()")
    return parser


def _text(path: str) -> str:
    try:
        return pathlib.Path(path).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _arguments(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    raise argparse.ArgumentTypeError(f"found {text!r}; expected names and values as JSON")


def _positive(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"found {text!r}; expected a positive whole number")


if __name__ == "__main__":
    sys.exit(main())
