"""The grounding audit of one source of a run: reads, measures, replays, and writes the report."""

import tempfile

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from glam_jax import config as configs
from glam_jax import files
from glam_jax.audit import page
from glam_jax.audit.gates import Evidence, Gate, judge, measure, score
from glam_jax.data.store import Store
from glam_jax.demonstrations import gather
from glam_jax.display import plots
from glam_jax.errors import DataError
from glam_jax.evaluation import video
from glam_jax.evaluation.replay import replay, summary
from glam_jax.experiment import borrowed
from glam_jax.experiment.replay import load_decoding, replay_world
from glam_jax.experiment.workdir import Workdir
from glam_jax.schema import Episode, title
from glam_jax.stages.world_model import WorldModel

SAMPLES = 8  # frames of the source in the strip


def audit(workdir: Workdir, source: str, broken: str = "") -> list[Gate]:
    """Audits a source against the target of a run; writes `audit_SOURCE.json` and `.html`.

    The names of both files end in `_BROKEN` where that is given, so that a broken source's report
    never stands in the place of the source's own.

    Args:
      workdir: of a run whose stage 1 is finished, or that borrows its world model.
      source: the auxiliary source.
      broken: in place of the run's `config.data.broken`; "" leaves that.

    Returns:
      The gates; the source is fit if all pass.

    Raises:
      DataError: the source is the target or is not known, or its held-out episodes are not there.
      Else see `load_decoding`.
    """
    config = workdir.config()
    target = config.data.target
    _check_source(config, source)
    settings = thresholds(config)
    world_model = load_decoding(workdir, "audit with")
    trained = borrowed.lender(config, workdir).config()
    train = gather.target(trained).read("train")
    heldout = gather.target(config).read("heldout")
    if broken:
        config = config.copy_and_resolve_references().unlock()
        config.data.broken = broken
    shown = gather.source(config, source)
    shown.check()
    episodes = shown.read("heldout")
    evidence = measure(world_model, train, heldout, episodes, settings, config)
    simulated = gather.target(config).simulated
    with tempfile.TemporaryDirectory() as folder:
        pictures = _pictures(files.path(folder), world_model, evidence, heldout, episodes)
        replayed = None
        if simulated:
            replayed, figure = _replay(files.path(folder), config, world_model, evidence, episodes)
            pictures["The first episode above its replay by the robot"] = figure
        gates = judge(evidence, settings, replayed)
        facts = _facts(config, world_model, len(heldout), len(episodes))
        name = f"Grounding audit: {title(source)} for {config.task} by {title(target)}"
        text = page.page(name, facts, gates, pictures)
    files.write_text(workdir.path / f"{stem(source, broken)}.html", text)
    found = {
        "task": config.task,
        "method": config.method,
        "target": title(target),
        "source": title(source),
        "broken": config.data.get("broken", ""),
        "fit": all(gate.passed for gate in gates),
        "score": round(score(gates), 4),
        "p_value": evidence.p_value,
        "decoded_error": evidence.decoded_error,
        "replay": replayed,  # None where the robot is not simulated
        "gates": [gate.record() for gate in gates],
    }
    files.write_json(workdir.path / f"{stem(source, broken)}.json", found)
    return gates


def audited(workdir: Workdir, source: str) -> dict:
    """What the audit of a source found, as in its file; it is made if it is not there."""
    if not (file := workdir.path / f"{stem(source)}.json").exists():
        audit(workdir, source)
    return workdir.read(file.name)


def stem(source: str, broken: str = "") -> str:
    """Name of an audit's files in the run's folder, without ending; see `audit`."""
    return "_".join(filter(None, ("audit", source, broken)))


def thresholds(config: ConfigDict) -> ConfigDict:
    """A run's `config.audit`; the defaults of what a run was made before it had."""
    made = configs.make(next(iter(configs.TASKS))).audit  # the same for all tasks
    if "audit" in config:
        made.update(config.audit)
    return made


def _check_source(config: ConfigDict, source: str) -> None:
    target = config.data.target
    able = sorted(set(gather.known(config)) - {target})
    if source not in able:
        raise DataError(f"source is {source!r}; expected one beside the target: {', '.join(able)}")


def _replay(
    folder: epath.Path,
    config: ConfigDict,
    world_model: WorldModel,
    evidence: Evidence,
    episodes: list[Episode],
) -> tuple[dict, epath.Path]:
    """The source's decoded actions on the robot: their summary, and a figure of the first."""
    env = replay_world(config)
    shown = episodes[: config.replay.episodes]
    actions = [world_model.decode(z) for z in evidence.z_source[: len(shown)]]
    result = replay(env, actions, [episode.seed for episode in shown], film=1)
    figure = video.comparison_figure(folder / "replay.png", env, shown[0], result)
    return summary(shown[0].source, env.robot.name, result), figure


def _pictures(
    folder: epath.Path,
    world_model: WorldModel,
    evidence: Evidence,
    heldout: list[Episode],
    episodes: list[Episode],
) -> dict[str, epath.Path]:
    """Caption -> PNG of what is shown of the latents and the frames."""
    name, known = title(episodes[0].source), evidence.decoder_range
    groups = {title(heldout[0].source): evidence.z_target, name: evidence.z_source}
    modality = world_model.modality
    store = Store(heldout[:1], episodes[:1], (modality,))
    frames = np.linspace(0, len(episodes[0]) - 1, SAMPLES).round().astype(int)
    images = store.pictures(modality, store.starts[1] + frames)
    views = episodes[0].views
    seen = np.concatenate([episodes[0].steps[f"image_{view}"][frames] for view in views])
    return {
        "Latents of held-out episodes on the target's first two principal components": (
            page.scatter(folder / "scatter.png", groups, known)
        ),
        "Distance of latents from those that the action decoder was trained on": (
            page.distances(folder / "distances.png", groups, known)
        ),
        f"Frames of {name}: {' and '.join(views)} camera": (
            plots.strip(folder / "frames.png", seen, len(frames))
        ),
        f"What the world model sees of them ({modality}), view by view above its reconstruction": (
            plots.reconstructions(
                folder / "reconstructions.png", images, world_model.reconstruct(images)
            )
        ),
    }


def _facts(config, world_model: WorldModel, heldout: int, episodes: int) -> list[str]:
    """What stands below the page's title, sentence by sentence."""
    kind = type(world_model.model).__name__
    facts = [
        f"World model: {kind} on {world_model.modality}, method {config.method}, scale "
        f"{config.scale}, seed {config.seed}. {heldout} held-out target episodes and {episodes} of "
        "the source, none of them trained on. "
        + (
            "All sources and robots are simulated."
            if gather.target(config).simulated
            else "The robot is not simulated here, so replay is left out: only the robot can tell "
            "whether decoded actions do the task."
        )
    ]
    if broken := config.data.get("broken", ""):
        facts.append(f"The source's episodes were broken on purpose: {broken}.")
    return facts
