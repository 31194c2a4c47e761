"""The way of each candidate source: inspection, world model, audit with replay, policy.

FOLDER/none, half     run folders without any source, from all and from half of the target
FOLDER/NAME           run folder of each candidate, with its audit
FOLDER/inspection.html, funnel.json, funnel.html
"""

from collections.abc import Sequence

from etils import epath
from ml_collections import ConfigDict

from glam_jax import files
from glam_jax.audit import audit
from glam_jax.data import dataset
from glam_jax.demonstrations import gather
from glam_jax.errors import ConfigError
from glam_jax.experiment import experiment
from glam_jax.experiment.workdir import Workdir
from glam_jax.funnel import page, worth
from glam_jax.inspect import report
from glam_jax.schema import title
from glam_jax.stages.world_model import world_model_of

NONE, HALF = "none", "half"  # of the target's episodes, without any source
SUMMARY, PAGE, INSPECTION = "funnel.json", "funnel.html", "inspection.html"


def funnel(config: ConfigDict, candidates: Sequence[str], folder: epath.PathLike) -> dict:
    """Compares candidates; writes the page, and returns what it is made of.

    Args:
      config: of a run on the target. candidates: names of sources.
      folder: of the funnel; what is in it already is not made again.

    Raises:
      ConfigError: a candidate that cannot be one, or a method without an audit; before anything is
        done. Else see `experiment.run` and `audit.audit`.
    """
    configs = made_of(config, candidates)
    for one in configs.values():
        experiment.check(one)
    folder = files.path(folder)
    _inspect(configs, candidates, folder)
    found = {"candidates": []}
    for name in candidates:
        path = folder / name
        experiment.run_stage1(configs[name], path)
        record = _audited(path, name)
        if record["fit"]:
            record |= measured(experiment.run(configs[name], path))
        found["candidates"].append(record)
    for name in (NONE, HALF):
        found[name] = measured(experiment.run(configs[name], folder / name))
    for one in found["candidates"]:
        one |= worth.of(one, found[NONE], found[HALF])
        one["verdict"] = page.verdict(one)
    found |= {
        "task": config.task,
        "method": config.method,
        "scale": config.scale,
        "seed": config.seed,
        "target": title(config.data.target),
        "simulated": gather.target(config).simulated,
        "next": page.advice(found),
    }
    files.write_json(folder / SUMMARY, found)
    page.write(folder / PAGE, found)
    return found


def made_of(config: ConfigDict, candidates: Sequence[str]) -> dict[str, ConfigDict]:
    """Name of a run -> its config: each candidate alone, and none with all or half of the target.

    Raises:
      ConfigError: see `funnel`.
    """
    kind = world_model_of(config.method)
    if kind is None or not kind.decodes:
        raise ConfigError(
            f"method is {config.method}; expected one whose world model decodes actions, as glam_o"
        )
    able = sorted(set(gather.known(config)) - {config.data.target, NONE, HALF} - _joined(config))
    counts = config.data.auxiliary
    most = max((counts[name] for name in counts if name in able), default=0)
    for name in candidates:
        if name not in able or list(candidates).count(name) > 1:
            raise ConfigError(
                f"candidates has {name!r}; expected each of {', '.join(able)} at most once"
            )
        if not counts.get(name, 0) and not most:
            raise ConfigError(f"data.auxiliary.{name} is 0; expected its number of episodes")
    if config.data.target_episodes < 2:
        raise ConfigError("data.target_episodes is 1; expected at least 2, for half of them is run")
    made = {name: _with(config, {name: counts.get(name, 0) or most}) for name in candidates}
    made[NONE] = _with(config, {})
    made[HALF] = _with(config, {})
    made[HALF].data.target_episodes = config.data.target_episodes // 2
    return made


def _joined(config: ConfigDict) -> set[str]:
    """Sources beside the target whose actions the run learns too."""
    return {name for name in config.data.auxiliary if gather.source(config, name).is_target}


def _with(config: ConfigDict, auxiliary: dict[str, int]) -> ConfigDict:
    """The config with these auxiliary sources alone."""
    made, joined = config.copy_and_resolve_references().unlock(), _joined(config)
    for name in {*made.data.auxiliary, *auxiliary} - joined:
        made.data.auxiliary[name] = auxiliary.get(name, 0)
    if not auxiliary:
        made.pretrain.target_share = made.clone.target_share = 1.0
    return made


def _inspect(configs: dict[str, ConfigDict], candidates: Sequence[str], folder: epath.Path) -> None:
    """Provides the data of all, and writes what `glam_jax.inspect` finds in them."""
    used = {}
    for name in candidates:
        for source in gather.check(configs[name]):
            used[source.name] = source
    for source in used.values():
        source.provide()
    root = next(iter(configs.values())).data.root
    folders = [dataset.dataset_path(root, source.recording) for source in used.values()]
    report.inspect(folders, str(files.make_folder(folder) / INSPECTION))


def _audited(path: epath.Path, name: str) -> dict:
    """What the audit found of a candidate."""
    workdir = Workdir(path)
    found = audit.audited(workdir, name)
    return {
        "name": name,
        "title": title(name),
        "episodes": workdir.config().data.auxiliary[name],
        "fit": found["fit"],
        "score": found["score"],
        "replay": found["replay"],
        "failed": [gate for gate in found["gates"] if not gate["passed"]],
        "page": f"{name}/{audit.stem(name)}.html",
    }


def measured(results: dict) -> dict:
    """What of a run's results the page is made of."""
    keys = ("successes", "trials", "jerk_smoothness", "fft_smoothness")
    found = {key: results[key] for key in keys if key in results}
    return found | {
        "target_episodes": next(iter(results["sources"].values())),
        "decoded_error": results["decoded_error"]["stage2"],
    }
