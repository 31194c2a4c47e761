"""Replay across sources: what the world model decodes from another source's episodes, carried out
on a robot."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from glam_jax import files
from glam_jax.data.store import Store
from glam_jax.demonstrations import gather
from glam_jax.evaluation import video
from glam_jax.evaluation.replay import path_errors, replay, summary
from glam_jax.experiment import borrowed
from glam_jax.experiment.workdir import REPLAY, Workdir, WorkdirError
from glam_jax.schema import Episode
from glam_jax.sim.env import Env
from glam_jax.stages.world_model import WorldModel, world_model_of


def replay_world(config: ConfigDict, asked: str | None = None) -> Env:
    """The world in which decoded actions are carried out, by the robot asked for or the config's.

    Raises:
      ConfigError: the robot is not commanded in joint targets.
      DataError: the run's task is not simulated here.
    """
    robot = asked or config.replay.robot
    target = gather.target(config)
    return target.make_env(target.name if robot == "target" else robot)


def decoded_actions(
    world_model: WorldModel, heldout: dict[str, list[Episode]], source: str
) -> list[np.ndarray]:
    """Robot actions (T - 1, A) of each episode of a source, from its inferred latents alone.

    Raises:
      ValueError: the world model has no action decoder.
    """
    target, *_ = heldout
    auxiliary = heldout[source] if source != target else ()
    store = Store(heldout[target], auxiliary)
    actions = world_model.decode(world_model.label(store))
    return store.per_episode(actions)[-len(heldout[source]) :]


def load_decoding(workdir: Workdir, use: str) -> WorldModel:
    """The world model of a run, which must decode actions; `use` completes "... to USE".

    Raises:
      WorkdirError: the run's method has no world model or none that decodes actions. Else see
        `borrowed.load`.
    """
    config = workdir.config()
    kind = world_model_of(config.method)
    if kind is None or not kind.decodes:
        lacks = "no world model" if kind is None else "no action decoder in its world model"
        raise WorkdirError(f"{workdir.path}: method {config.method} has {lacks} to {use}")
    return borrowed.load(config, gather.target(config).layout, workdir)


def replay_sources(
    workdir: Workdir,
    robot: str | None = None,
    film: bool = True,
    sources: Sequence[str] | None = None,
) -> dict:
    """Replays held-out episodes of each source on a robot; returns what replay.json now holds.

    Replays of other sources and on other robots that it held stay.

    Args:
      workdir: of a run whose stage 1 is finished, or that borrows its world model.
      robot: who carries the actions out, by default `config.replay.robot`.
      film: write a side-by-side video and a figure of each source.
      sources: whose episodes, by default those of all sources that the run learned from. Held-out
        episodes of others are recorded where they are missing.

    Raises:
      WorkdirError: the run's method has no world model or none that decodes actions.
      DataError: the run's robot is not simulated here.
      ConfigError: see `replay_world`; an unknown source. Else see `borrowed.load` and
        `Source.provide`.
    """
    config = workdir.config()
    env = replay_world(config, robot)
    robot = env.robot.name
    world_model = load_decoding(workdir, "replay with")
    used = [source.name for source in gather.sources(config)]
    heldout = {}
    for name in dict.fromkeys((*used, *(sources or ()))):
        source = gather.source(config, name)
        if name not in used:
            source.provide()
        heldout[name] = source.read("heldout", config.replay.episodes)
    file = workdir.path / REPLAY
    report = files.read_json(file) if file.exists() else {}
    for source in sources or heldout:
        episodes = heldout[source]
        actions = decoded_actions(world_model, heldout, source)
        shown = min(config.evaluate.film, len(episodes)) if film else 0
        result = replay(env, actions, [episode.seed for episode in episodes], film=shown)
        errors = 1000 * path_errors(result, [episode.steps["ee_pose"] for episode in episodes])
        found = summary(source, robot, result)
        found["path_errors_mm"] = np.round(errors, 1).tolist()
        report[f"{source}_to_{robot}"] = found
        print(
            "{source} to {robot}: {successes}/{trials} succeed, 95% interval "
            "{wilson_low:.0%} to {wilson_high:.0%}".format(**found)
            + f", {errors.mean():.1f} mm off the episodes' paths"
        )
        if shown:
            path = workdir.path / f"replay_{source}_to_{robot}"
            film_at, picture_at = path.with_suffix(".mp4"), path.with_suffix(".png")
            print(f"Video: {video.comparison_video(film_at, env, episodes, result)}")
            print(f"Figure: {video.comparison_figure(picture_at, env, episodes[0], result)}")
    files.write_json(file, report)
    return report
