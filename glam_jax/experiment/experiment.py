"""One run from demonstrations to a measured policy, stage by stage; each resumes where it was."""

import importlib.metadata
import subprocess

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict
from tqdm import tqdm

from glam_jax import files, values
from glam_jax.data.store import Store
from glam_jax.demonstrations import gather
from glam_jax.demonstrations.simulated import check_has_actions
from glam_jax.display import contact_sheet, plots
from glam_jax.evaluation import joints, smoothness, video
from glam_jax.evaluation.rollout import Rollout, rollout
from glam_jax.experiment import borrowed
from glam_jax.experiment.workdir import STAGE1, STORED, Workdir
from glam_jax.models.dinov2 import weights
from glam_jax.runtime import hosts, metrics, sharding
from glam_jax.schema import title
from glam_jax.stages import clone, pretrain, relabel, units
from glam_jax.stages.world_model import WorldModel

STAGES = ("collect", "pretrain", "relabel", "clone", "evaluate")
PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets",
    "ml_collections", "chex", "mujoco", "mujoco-mjx", "numpy",
)  # fmt: skip
SAMPLES = 8  # pictures in the reconstruction grid


def evaluate(config: ConfigDict, act, params, trials: int, film: int = 0) -> Rollout:
    """Closed-loop trials from the fixed unseen starts, on all devices of all hosts.

    Raises:
      DataError: the run's robot is not simulated here.
    """
    env = gather.target(config).make_env()
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
            film=film,
            progress=bar.update,
        )


def measure(config: ConfigDict, result: Rollout) -> dict:
    """What a rollout is summed up to: success with its interval, and smoothness."""
    env = gather.target(config).make_env()
    smooth = smoothness.mean_scores(result.trajectories(), env.control_hz)
    return {
        "success_rate": float(result.success.mean()),
        "jerk_smoothness": smooth["jerk"],
        "fft_smoothness": smooth["fft"],
        "clipped_share": float(result.clipped.mean()),
        "first_seed": config.evaluate.first_seed,
    } | result.rate()


def check(config: ConfigDict) -> None:
    """Finds what is wrong with a config before anything is done.

    Raises:
      UserError: see `values.check` and `gather.check`; a robot that cannot be that of replay.
      BatchSizeError: the devices cannot share a stage's batches out evenly.
    """
    values.check(config)
    target, *_ = gather.check(config)
    if target.simulated and config.replay.robot != "target":
        check_has_actions(config.replay.robot, "replay.robot")
    for stage in ("pretrain", "clone"):
        sharding.check_batch(f"{stage}.batch", config[stage].batch, config[stage].accumulate)


def claim(config: ConfigDict, path: epath.PathLike, trains_policy: bool = True) -> Workdir:
    """The run folder, claimed for a config that was checked; of several hosts by the first.

    Args:
      trains_policy: whether stage 2 follows, which may need the weights of an encoder.
    Raises:
      See `check`, `weights.check`, `borrowed.lender` and `Workdir.claim`.
    """
    check(config)
    workdir = Workdir(path)
    if not workdir.policy.exists():  # else its checkpoints hold what is read here
        if trains_policy:
            weights.check(config)
        borrowed.lender(config, workdir)
    with hosts.leader_first():
        workdir.claim(config)
    return workdir


def prepare(config: ConfigDict, workdir: Workdir) -> gather.Data:
    """Gathers the data of a run; of several hosts the first does it for all.

    Raises:
      See `gather.gather`.
    """
    with hosts.leader_first():
        with workdir.timed("collect"):
            data = gather.gather(config)
        if (stored := gather.target(config).stored) and hosts.is_leader():
            files.write_json(workdir.path / STORED, stored)
        return data


def make_world_model(config: ConfigDict, data: gather.Data, workdir: Workdir) -> WorldModel:
    """Stage 1 of a run, or the world model that it borrows.

    Raises:
      See `pretrain.pretrain` and `borrowed.load`.
    """
    if config.world_model_from:
        return borrowed.load(config, data.store.layout, workdir)
    heldout = data.heldout_store(config.data.target)
    with workdir.timed("pretrain"):
        return pretrain.pretrain(config, data.store, heldout, data.stats, workdir.world_model)


def run_stage1(config: ConfigDict, path: epath.PathLike) -> None:
    """Carries out a run as far as its world model, which is what replay needs.

    Raises:
      See `claim` and the stage.
    """
    workdir = claim(config, path, trains_policy=False)
    data = prepare(config, workdir)
    world_model = make_world_model(config, data, workdir)
    error = world_model.decoded_error(data.heldout_store(config.data.target), config)
    found = describe(config, workdir) | {"decoded_error": {"stage1": error}}
    if hosts.is_leader():
        files.write_json(workdir.path / STAGE1, found)


def run(config: ConfigDict, path: epath.PathLike) -> dict | None:
    """Carries out a run, or what is left of it, and returns its results.

    Several hosts train and evaluate together. The first alone draws and has results: the others
    return None.

    Raises:
      See `claim` and the stages.
    """
    workdir, leads = claim(config, path), hosts.is_leader()
    if done := workdir.results():
        print(f"{workdir.path} is done.")
        return done

    # ------------------------------------------------------------------ data
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
                else relabel.read(workdir.labels)
            )
        if world_model.decodes:
            errors["stage1"] = world_model.decoded_error(heldout, config)
        if leads:
            _draw_reconstructions(world_model, heldout, workdir)

    # ------------------------------------------------------- stage 2: policy
    stats = units.label_statistics(labels, stats, latent=config.method != "mip")
    with workdir.timed("clone"):
        params = clone.clone(config, data.store, heldout, labels, stats, workdir.policy)
    act, _ = clone.load(config, data.store.layout, workdir.policy)
    errors["stage2"] = clone.decoded_error(act, params, heldout, config)
    if leads:
        _draw_curves(workdir)

    # ------------------------------------------------------------- evaluation
    simulated = gather.target(config).simulated
    measured = _evaluate(config, act, params, workdir) if simulated else {}
    if not leads:
        return None
    results = describe(config, workdir) | measured | {"decoded_error": errors}
    workdir.finish(results)
    return results


def _evaluate(config: ConfigDict, act, params, workdir: Workdir) -> dict:
    """Measures the policy in simulation, draws its joints against the expert's, and films it."""
    with workdir.timed("evaluate"):
        result = evaluate(config, act, params, config.evaluate.trials, config.evaluate.film)
        measured = measure(config, result)
    if hosts.is_leader():
        env = gather.target(config).make_env()
        joints.save(workdir.path, env, result)
        if config.evaluate.film:
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
        "sources": {source.title: source.episodes for source in gather.sources(config)},
        "continued": workdir.continued(),
        "seconds": {stage: spent.get(stage, 0.0) for stage in STAGES},
        "device": f"{device.device_kind} ({device.platform}, {jax.device_count()} devices)",
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git_revision": git_revision(),
    }


def git_revision() -> str:
    """Revision of the source tree, with `+changes` if it was modified; "unknown" outside git."""
    place = str(files.path(__file__).parent)
    command = ["git", "-C", place, "describe", "--always", "--abbrev=40"]
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
            plots.curves(workdir.path / f"curves_{stage.name}.png", metrics.read_metrics(stage))


def _draw_reconstructions(world_model: WorldModel, store: Store, workdir: Workdir) -> None:
    frames = np.linspace(0, len(store.arrays["last"]) - 1, SAMPLES).astype(int)
    images = store.pictures(world_model.modality, frames)
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
