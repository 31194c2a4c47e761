"""Episodes of a simulator whose actions a policy server gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import measures
from .actor import Actor
from .film import Films
from .policy_client import PolicyClient
from .record import Record
from .simulator import Simulator

FRAME_RATE = 20.0  # of a film, where the server names no control rate


def evaluate(
    env: Any,
    client: PolicyClient,
    seeds: Sequence[int],
    *,
    max_steps: int = 1000,
    success: str | None = None,
    execute: int | None = None,
    out: str | None = None,
    film: int = 0,
    camera: str | None = None,
    about: dict[str, Any] | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Runs one episode for each seed and measures them.

    An episode ends with success, when the environment terminates or truncates it, or after
    `max_steps`. If anything ends the run before, an interruption from the keyboard as well, what
    was measured is reported and written all the same.

    Args:
      env: `reset(seed=...)` -> (observation, info), `step(action)` -> (observation, reward,
        terminated, truncated, info), as in gymnasium, or what old gym has. The observation is a
        dict with all names of `client.metadata["observation"]`; a name `a/b` may be nested.
      client: connected to the policy server.
      seeds: one for each episode.
      max_steps: control steps of an episode at most.
      success: key of `info` that tells success at some step; `success` or `is_success` if None.
      execute: actions of each reply that are carried out; all of them if None.
      out: folder of `episodes.json` and the films. Seeds that it has already are not run again.
      film: how many of the first seeds are filmed, as `seed_SEED.mp4`, which needs `out`.
      camera: name of an image of the observation that is filmed; `env.render()` if None.
      about: what the environment was made from. Episodes of others are not added to these.
      report: takes each line of progress and of the summary.

    Returns:
      The content of `episodes.json`; see `record`.

    Raises:
      SimulatorError, RecordError, FilmError: nothing could be measured; see there.
      PolicyError, ConnectionError, TimeoutError: see `PolicyClient.infer`.
    """
    seeds, rate = list(seeds), client.metadata.get("control_hz")
    environment = {"class": _class(env), **(about or {})}
    settings = {"max_steps": max_steps, "success": success, "execute": execute}
    fixed = {"policy": client.metadata, "environment": environment, "settings": settings}
    record = Record(out, fixed)
    films = Films(out, seeds[:film], camera, rate or FRAME_RATE)
    simulator, actor = Simulator(env, client.metadata, success), Actor(client, execute)
    try:
        for seed in record.missing(seeds):
            with films.filming(seed, simulator) as look:
                actor.reset()
                simulator.reset(seed)
                found = _episode(simulator, actor, max_steps, rate, look)
            record.episodes.append({"seed": seed, **found})
            record.write(seeds)
            report(_progress(record.episodes))
    finally:
        for line in measures.lines(measures.summary(record.episodes)) if record.episodes else ():
            report(line)
    return record.content(seeds)


def _episode(
    simulator: Simulator,
    actor: Actor,
    max_steps: int,
    rate: float | None,
    look: Callable[[], None],
) -> dict[str, Any]:
    """One episode, from its start on; `look` is called with every state."""
    sent, latency_ms, known, ended = [], [], None, None
    while ended is None:
        if actor.asks:
            observation = simulator.observed()
            began = time.perf_counter()
            action = actor.act(observation)
            latency_ms.append(round(1e3 * (time.perf_counter() - began), 3))
        else:
            action = actor.act(None)
        if not sent:
            look()
        sent.append(np.array(action))
        ended, success = simulator.step(action)
        look()
        known = known if success is None else success
        if len(sent) >= max_steps:
            ended = ended or "max_steps"
    return {
        "success": known,
        "steps": len(sent),
        "ended": ended,
        "smoothness": measures.smoothness(np.stack(sent), rate) if rate else None,
        "latency_ms": latency_ms,
    }


def _progress(episodes: Sequence[dict[str, Any]]) -> str:
    last, successes = episodes[-1], sum(bool(episode["success"]) for episode in episodes)
    return (
        f"seed {last['seed']}: {last['ended']} after {last['steps']} steps; "
        f"{successes} of {len(episodes)} succeeded"
    )


def _class(env: Any) -> str:
    kind = type(getattr(env, "unwrapped", env))
    return f"{kind.__module__}.{kind.__qualname__}"
