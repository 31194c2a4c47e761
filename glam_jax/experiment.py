"""One run from demonstrations to a measured policy, stage by stage; each resumes where it was."""

import dataclasses
import importlib.metadata
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from glam_jax import borrow, collect, contact_sheet, normalize, own, recording
from glam_jax import episodes as dataset
from glam_jax.evaluation import intervals, plots, smoothness, video
from glam_jax.evaluation.rollout import Rollout, rollout
from glam_jax.runtime import hosts, sharding, writer
from glam_jax.schema import Episode, Layout, title
from glam_jax.sim import env as simulation
from glam_jax.sim.robots import ROBOTS
from glam_jax.stages import clone, dinov2, pretrain, relabel
from glam_jax.store import Store
from glam_jax.workdir import STAGE1, Workdir

STAGES = ("collect", "pretrain", "relabel", "clone", "evaluate")
PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets",
    "ml_collections", "chex", "mujoco", "mujoco-mjx", "numpy",
)  # fmt: skip
SAMPLES = 8  # pictures in the reconstruction grid


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run learns from and is checked on.

    Attributes:
      store: training transitions of all sources. stats: their statistics.
      heldout: source -> episodes never trained on.
    """

    store: Store
    stats: normalize.Statistics
    heldout: dict[str, list[Episode]]

    def heldout_store(self, source: str) -> Store:
        return Store(self.heldout[source])


def layout_of(config: ConfigDict) -> Layout:
    """The arrays of the run's target source."""
    if own.is_own(config):
        return own.aim(config).layout
    return simulation.make_env(config.task, config.data.target, config.image_size).layout


def sources(config: ConfigDict) -> dict[str, int]:
    """Source -> training episodes, the target first, then the auxiliary ones by name.

    Raises:
      ValueError: a source that is not known, a target without robot actions, or one that is
        its own auxiliary source.
    """
    if own.is_own(config):
        return own.sources(config)
    target, auxiliary = config.data.target, config.data.auxiliary
    used = {source: auxiliary[source] for source in sorted(auxiliary) if auxiliary[source]}
    for source in (target, *auxiliary):
        if source not in ROBOTS:
            raise ValueError(f"unknown source {source!r}; known: {', '.join(sorted(ROBOTS))}")
    check_has_actions(target, "data.target")
    if target in used:
        raise ValueError(
            f"data.auxiliary.{target} is {used[target]}, but {target} is the target; "
            f"set it to 0, or ask for more in data.target_episodes"
        )
    return {target: config.data.target_episodes} | used


def check_has_actions(source: str, key: str) -> None:
    """Raises ValueError unless a source is a robot's that is commanded in joint targets."""
    able = sorted(name for name, robot in ROBOTS.items() if robot.has_actions)
    if source not in able:
        raise ValueError(f"{key} is {source!r}; expected one with actions: {', '.join(able)}")


def replay_robot(config: ConfigDict, asked: str | None = None) -> str:
    """The robot that decoded actions are replayed on: the one asked for, or the config's.

    Raises:
      ValueError: it is not commanded in joint targets.
    """
    robot = asked or config.replay.robot
    robot = config.data.target if robot == "target" else robot
    check_has_actions(robot, "replay.robot")
    return robot


def stream_split(config: ConfigDict, source: str, split: str, count: int) -> Iterator[Episode]:
    """Episodes of a source from the data root, one by one; raises as `episodes.read`."""
    if own.is_own(config):
        kind = own.recording_of(config, source)
    else:
        layout = simulation.make_env(config.task, source, config.image_size).layout
        kind = recording.Recording(config.task, source, layout)
    return dataset.stream(dataset.dataset_path(config.data.root, kind), split, kind, count)


def read_split(config: ConfigDict, source: str, split: str, count: int) -> list[Episode]:
    """As `stream_split`, all at once."""
    return list(stream_split(config, source, split, count))


def gather(config: ConfigDict) -> Data:
    """Records or converts what is missing of the data, and reads it.

    Raises:
      ValueError: see `sources`.
      DataError: see `collect.collect`, `own.ingest` and `episodes.read`.
    """
    counts = sources(config)
    for source, count in counts.items():
        provide(config, source, count)
    heldout = read_heldout(config, config.data.heldout_episodes)
    of_target = own.targets(config) if own.is_own(config) else [config.data.target]
    others = [source for source in counts if source not in of_target]

    def train(names: list[str]) -> Iterator[Episode]:
        for source in names:
            yield from stream_split(config, source, "train", counts[source])

    order = {source: counts[source] for source in (*of_target, *others)}
    store = Store(
        train(of_target),
        train(others),
        weights=own.episode_weights(config, order),
        memory_bytes=config.data.resident_bytes,
    )
    return Data(store, normalize.statistics(store), heldout)


def provide(config: ConfigDict, source: str, count: int) -> None:
    """Records or converts what is missing of a source's `count` training episodes and of its
    held-out ones.

    Raises:
      See `collect.collect` and `own.ingest`.
    """
    if own.is_own(config):
        own.ingest(config, source, count)
    else:
        collect.collect(
            config.task,
            source,
            count,
            config.data.heldout_episodes,
            config.image_size,
            config.data.root,
        )


def read_heldout(config: ConfigDict, count: int) -> dict[str, list[Episode]]:
    """Source -> its first held-out episodes, the target first."""
    return {source: read_split(config, source, "heldout", count) for source in sources(config)}


def check_simulated(config: ConfigDict) -> None:
    """Raises DataError for a run on own data, whose robot is not simulated here."""
    if own.is_own(config):
        raise recording.DataError(
            f"task {config.task} was learned from own data; there is no simulation of it"
        )


def evaluate(config: ConfigDict, act, params, trials: int, film: int = 0) -> Rollout:
    """Closed-loop trials from the fixed unseen starts, on all devices of all hosts.

    Raises:
      DataError: see `check_simulated`.
    """
    check_simulated(config)
    env = simulation.make_env(config.task, config.data.target, config.image_size)
    seeds = np.arange(config.evaluate.first_seed, config.evaluate.first_seed + trials)
    bar = tqdm(total=trials, desc="evaluating", unit="trial", disable=not hosts.is_leader())
    with bar:
        return rollout(
            env,
            act,
            params,
            seeds,
            execute=config.evaluate.execute,
            batch=config.evaluate.batch,
            bounds=env.action_bounds,
            film=film,
            progress=bar.update,
        )


def measure(config: ConfigDict, result: Rollout) -> dict:
    """What a rollout is summed up to: success with its interval, and smoothness."""
    env = simulation.make_env(config.task, config.data.target, config.image_size)
    successes, trials = int(result.success.sum()), len(result)
    low, high = intervals.wilson(successes, trials)
    smooth = smoothness.mean_scores(result.trajectories(), env.control_hz)
    return {
        "successes": successes,
        "trials": trials,
        "success_rate": successes / trials,
        "wilson_low": low,
        "wilson_high": high,
        "jerk_smoothness": smooth["jerk"],
        "fft_smoothness": smooth["fft"],
        "clipped_share": float(result.clipped.mean()),
        "first_seed": config.evaluate.first_seed,
        "outcomes": outcomes(result.success),
    }


def outcomes(success: np.ndarray) -> str:
    """Success of each start in order, 1 or 0: what a comparison on the same starts needs."""
    return "".join("01"[int(one)] for one in success)


def check_batches(config: ConfigDict) -> None:
    """Raises BatchSizeError if the devices cannot share a stage's batches out evenly."""
    for stage in ("pretrain", "clone"):
        run = config[stage]
        sharding.check_batch(f"{stage}.batch", run.batch, run.accumulate)


def prepare(config: ConfigDict, workdir: Workdir) -> Data:
    """Claims the folder and gathers the data; of several hosts the first does it for all.

    Raises:
      BatchSizeError: see `check_batches`. WorkdirError: the folder belongs to another run.
      Else see `gather`.
    """
    check_batches(config)
    with hosts.leader_first():
        workdir.claim(config)
        with workdir.timed("collect"):
            return gather(config)


def make_world_model(config: ConfigDict, data: Data, workdir: Workdir) -> pretrain.WorldModel:
    """Stage 1 of a run, or the world model that it borrows.

    Raises:
      See `pretrain.pretrain` and `borrow.load`.
    """
    if config.world_model_from:
        return borrow.load(config, data.store.layout, workdir)
    heldout = data.heldout_store(config.data.target)
    with workdir.timed("pretrain"):
        return pretrain.pretrain(config, data.store, heldout, data.stats, workdir.world_model)


def run_stage1(config: ConfigDict, path: str | Path) -> None:
    """Carries out a run as far as its world model, which is what replay needs.

    Raises:
      WorkdirError: the folder belongs to another run. Else see the stage.
    """
    workdir = Workdir(path)
    data = prepare(config, workdir)
    world_model = make_world_model(config, data, workdir)
    error = world_model.decoded_error(data.heldout_store(config.data.target), config)
    found = describe(config, workdir) | {"decoded_error": {"stage1": error}}
    if hosts.is_leader():
        writer.write_json(workdir.path / STAGE1, found)


def run(config: ConfigDict, path: str | Path) -> dict | None:
    """Carries out a run, or what is left of it, and returns its results.

    Several hosts train and evaluate together. The first alone draws and has results: the others
    return None.

    Raises:
      BatchSizeError: the devices cannot share a batch out evenly.
      WorkdirError: the folder belongs to another run.
      EncoderError, TensorFileError: the policy's encoder cannot be made, see `dinov2.check`.
      Else see the stages.
    """
    workdir, leads = Workdir(path), hosts.is_leader()
    if workdir.path.exists() and (done := workdir.results()):
        workdir.claim(config)
        print(f"{workdir.path} is done.")
        return done

    # ------------------------------------------------------------------ data
    if not workdir.policy.exists():  # else its checkpoints hold what is read here
        dinov2.check(config)
    data = prepare(config, workdir)
    if leads:
        shown = [episodes[0] for episodes in data.heldout.values()]
        contact_sheet.save(shown, workdir.path / "sources.png")
    heldout, errors, stats = data.heldout_store(config.data.target), {}, data.stats

    # --------------------------------------------- stage 1: world model, labels
    if config.method == "mip":
        labels = data.store.transition_actions()
    else:
        world_model = make_world_model(config, data, workdir)
        with workdir.timed("relabel"), hosts.leader_first():
            labels = (
                relabel.relabel(world_model, data.store, workdir.labels)
                if leads
                else np.load(workdir.labels)
            )
        if world_model.decodes:
            errors["stage1"] = world_model.decoded_error(heldout, config)
        if leads:
            _draw_reconstructions(world_model, heldout, workdir)

    # ------------------------------------------------------- stage 2: policy
    stats = clone.label_statistics(config, labels, stats)
    with workdir.timed("clone"):
        params = clone.clone(config, data.store, heldout, labels, stats, workdir.policy)
    act, _ = clone.load(config, data.store.layout, workdir.policy)
    errors["stage2"] = clone.decoded_error(act, params, heldout, config)
    if leads:
        _draw_curves(workdir)

    # ------------------------------------------------------------- evaluation
    measured = {} if own.is_own(config) else _evaluate(config, act, params, workdir)
    if not leads:
        return None
    results = describe(config, workdir) | measured | {"decoded_error": errors}
    workdir.finish(results)
    return results


def _evaluate(config: ConfigDict, act, params, workdir: Workdir) -> dict:
    """Measures the policy in simulation and films it."""
    with workdir.timed("evaluate"):
        result = evaluate(config, act, params, config.evaluate.trials, config.evaluate.film)
        measured = measure(config, result)
    if config.evaluate.film and hosts.is_leader():
        env = simulation.make_env(config.task, config.data.target, config.image_size)
        video.rollout_video(workdir.path / "rollouts.mp4", env, result)
    return measured


def describe(config: ConfigDict, workdir: Workdir) -> dict:
    """What was run, on what, and how long each stage took."""
    spent = workdir.seconds()
    device = jax.devices()[0]
    return {
        "task": config.task,
        "method": config.method,
        "scale": config.scale,
        "seed": config.seed,
        "target": title(config.data.target),
        "sources": {title(source): count for source, count in sources(config).items()},
        "seconds": {stage: spent.get(stage, 0.0) for stage in STAGES},
        "device": f"{device.device_kind} ({device.platform}, {jax.device_count()} devices)",
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git_revision": git_revision(),
    }


def git_revision() -> str:
    """Revision of the source tree, with `+changes` if it was modified; "unknown" outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40"]
    try:
        return subprocess.run(
            [*command, "--exclude=*", "--dirty=+changes"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _draw_curves(workdir: Workdir) -> None:
    for stage in (workdir.world_model, workdir.policy):
        if stage.exists():
            plots.curves(workdir.path / f"curves_{stage.name}.png", writer.read_metrics(stage))


def _draw_reconstructions(world_model: pretrain.WorldModel, store: Store, workdir: Workdir) -> None:
    frames = np.linspace(0, len(store.arrays["last"]) - 1, SAMPLES).astype(int)
    images = store.arrays[world_model.model.modality][frames]
    plots.reconstructions(
        workdir.path / "reconstructions.png", images, world_model.reconstruct(images)
    )


def table(results: dict) -> str:
    """The results as a small table for the terminal."""
    rows = {"run": "{task} by {target}, {method}, {scale}, seed {seed}".format(**results)}
    if "successes" in results:
        rate = f"{results['successes']}/{results['trials']} = {results['success_rate']:.0%}"
        interval = f"95% interval {results['wilson_low']:.0%} to {results['wilson_high']:.0%}"
        # A score that no trial has is null in results.json.
        smooth = {k: results[f"{k}_smoothness"] or float("nan") for k in ("jerk", "fft")}
        rows["success"] = f"{rate}, {interval}"
        rows["smoothness"] = f"jerk {smooth['jerk']:.2f}, fft {smooth['fft']:.3f}"
    else:
        rows["success"] = "not measured: the robot is not simulated here"
    for stage, error in results["decoded_error"].items():
        if "heldout_ee_mm" in error:
            found = f"{error['heldout_ee_mm']:.1f} mm at the gripper"
        else:
            found = f"{error['heldout_action_rms']:.4g} a number of the action, r.m.s."
        rows[f"{stage} error"] = f"{found}, held out"
    rows["minutes"] = ", ".join(
        f"{stage} {seconds / 60:.1f}" for stage, seconds in results["seconds"].items()
    )
    rows["device"] = results["device"]
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())
