"""Replay across sources: what the world model decodes from another source's episodes, carried out
on the target robot (SPEC section 5)."""

import numpy as np

from glam_jax import borrow, experiment
from glam_jax.evaluation import intervals, video
from glam_jax.evaluation.replay import replay
from glam_jax.runtime.writer import write_json
from glam_jax.schema import Episode
from glam_jax.sim import env as simulation
from glam_jax.stages import pretrain
from glam_jax.store import Store
from glam_jax.workdir import REPLAY, Workdir, WorkdirError


def decoded_actions(
    world_model: pretrain.WorldModel, heldout: dict[str, list[Episode]], source: str
) -> list[np.ndarray]:
    """Robot actions (T - 1, A) of each episode of a source, from its inferred latents alone."""
    target, *_ = heldout
    auxiliary = heldout[source] if source != target else ()
    store = Store(heldout[target], auxiliary)
    actions = world_model.decode(world_model.label(store))
    per_episode = np.split(actions, np.cumsum(store.lengths - 1)[:-1])
    return per_episode[-len(heldout[source]) :]


def replay_sources(workdir: Workdir, film: bool) -> dict:
    """Replays the held-out episodes of every source of a run; writes and returns replay.json.

    Args:
      workdir: of a run whose stage 1 is finished, or that borrows its world model.
      film: write a side-by-side video of each source.

    Raises:
      WorkdirError: the run's method has no world model. Else see `borrow.load`.
    """
    config = workdir.config()
    if config.method == "mip":
        raise WorkdirError(f"{workdir.path}: method mip has no world model to replay with")
    layout = experiment.layout_of(config)
    world_model = borrow.load(config, layout, workdir)
    heldout = experiment.read_heldout(config, config.replay.episodes)
    env = simulation.make_env(config.task, config.data.target, config.image_size)
    report = {}
    for source, episodes in heldout.items():
        actions = decoded_actions(world_model, heldout, source)
        shown = min(config.evaluate.film, len(episodes)) if film else 0
        result = replay(env, actions, [episode.seed for episode in episodes], film=shown)
        low, high = intervals.wilson(int(result.success.sum()), len(result))
        report[f"{source}_to_{config.data.target}"] = {
            "successes": int(result.success.sum()),
            "trials": len(result),
            "wilson_low": low,
            "wilson_high": high,
            "outcomes": experiment.outcomes(result.success),
        }
        print(
            f"{source} to {config.data.target}: {result.success.sum()}/{len(result)} succeed, "
            f"95% interval {low:.0%} to {high:.0%}"
        )
        if shown:
            path = workdir.path / f"replay_{source}.mp4"
            print(f"Video: {video.comparison_video(path, env, episodes, result)}")
    write_json(workdir.path / REPLAY, report)
    return report
