"""The summary of a study: everything its report needs, in one small JSON file.

A summary is what is kept in the repository, under results/; run folders are not.
"""

from etils import epath
from ml_collections import ConfigDict

from glam_jax import files
from glam_jax.demonstrations import gather
from glam_jax.errors import DataError
from glam_jax.evaluation import joints
from glam_jax.experiment.workdir import AUDITS, REPLAY, RESULTS, STAGE1, Workdir
from glam_jax.study import grid

SUMMARY = "summary.json"
FORMAT = 2
# What two parts of one study have in common.
COMMON = ("study", "quick", "scale", "tasks", "methods", "seeds", "grid")
POLICY_KEYS = (
    "successes", "trials", "first_seed", "outcomes", "jerk_smoothness", "fft_smoothness",
    "clipped_share",
)  # fmt: skip
# Study and methods whose joint trajectories are kept, of the first training seed: what is drawn.
JOINTS_IN, JOINTS_OF = "main_table", ("glam_o", "mip")
PACKAGES = ("jax", "mujoco", "mujoco-mjx")  # whose versions can change a result


class SummaryError(grid.StudyError):
    """A file that is no summary of a study, or one of another format."""


def collect(study: ConfigDict, folder: epath.PathLike) -> dict:
    """The summary of a study from the run folders of its finished cells.

    Args:
      study: see `grid.study`. folder: of the study.

    Returns:
      The study's own values; `grid`, the names of all its cells; `cells`, a record of each finished
      one, see `record`; `missing`, the names of the others.

    Raises:
      WorkdirError: a run folder with a damaged file; names it.
    """
    runs = files.path(folder) / "cells"
    found, missing, cells = [], [], grid.expand(study)
    for cell in cells:
        drawn = study.name == JOINTS_IN and cell.seed == study.seeds[0]
        made = record(cell, runs / cell.name, drawn)
        found.append(made) if made else missing.append(cell.name)
    return {
        "format": FORMAT,
        "study": study.name,
        "quick": study.quick,
        "scale": study.scale,
        **{axis: list(study[axis]) for axis in ("tasks", "methods", "seeds")},
        "grid": [cell.name for cell in cells],
        "cells": found,
        "missing": missing,
    }


def record(cell: grid.Cell, path: epath.Path, drawn: bool = False) -> dict | None:
    """What a cell was and found; None if it is not done.

    `sources` has the training episodes of each source, the target first; `policy` the outcome of
    closed-loop trials, `replay` that of each source's replay, `audit` of each auxiliary source's
    audit, of which there is what was measured;
    `joints`, if it is to be `drawn`, commands of the policy and the expert, see `joints.thin`.

    Raises:
      WorkdirError: a damaged file; names it.
    """
    wanted = {grid.POLICY: RESULTS, grid.REPLAY: REPLAY, grid.AUDIT: AUDITS}
    if not all((path / wanted[kind]).exists() for kind in cell.measure):
        return None
    workdir = Workdir(path)
    config = workdir.config()
    results = workdir.read(RESULTS if (path / RESULTS).exists() else STAGE1)
    made = {
        "name": cell.name,
        "task": cell.task,
        "method": cell.method,
        "variant": cell.variant,
        "seed": cell.seed,
        "target": config.data.target,
        "sources": {source.name: source.episodes for source in gather.sources(config)},
        "device": results["device"],
        "git_revision": results["git_revision"],
        "packages": {name: results["packages"][name] for name in PACKAGES},
        "minutes": round(sum(results["seconds"].values()) / 60, 1),
        "decoded_mm": {
            stage: round(error["heldout_ee_mm"], 2)
            for stage, error in results["decoded_error"].items()
        },
    }
    if grid.POLICY in cell.measure:
        made["policy"] = {key: results.get(key) for key in POLICY_KEYS}
        if drawn and cell.method in JOINTS_OF and (path / joints.FILE).exists():
            made["joints"] = joints.thin(workdir.read(joints.FILE))
    if grid.REPLAY in cell.measure:
        made["replay"] = workdir.read(REPLAY)
    if grid.AUDIT in cell.measure:
        made["audit"] = {
            source: {
                "fit": one["fit"],
                "score": one["score"],
                "gates": {gate["name"]: gate["score"] for gate in one["gates"]},
            }
            for source, one in workdir.read(AUDITS).items()
        }
    return made


def join(known: dict, new: dict) -> dict:
    """One summary of two parts of a study, of machines that share no folder.

    A cell that both have is the new one's.

    Raises:
      SummaryError: the parts are not of one grid; names what differs.
    """
    if differ := [key for key in COMMON if not _same(known[key], new[key])]:
        raise SummaryError(
            f"the summaries are of different studies: {', '.join(differ)} differ; "
            "results/ keeps one summary a study, under the name of its folder"
        )
    by_name = {cell["name"]: cell for cell in (*known["cells"], *new["cells"])}
    return {
        **new,
        "cells": [by_name[name] for name in new["grid"] if name in by_name],
        "missing": [name for name in new["grid"] if name not in by_name],
    }


def _same(one, other) -> bool:
    """Whether two values are equal, lists in any order."""
    return sorted(one) == sorted(other) if isinstance(one, list) else one == other


def read(path: epath.PathLike) -> dict:
    """A summary from its file.

    Raises:
      SummaryError: not there, not JSON, no summary, or one of another format; names the file.
    """
    path = files.path(path)
    try:
        found = files.read_json(path)
    except FileNotFoundError:
        wrote = "glam_jax.study writes it at its end, and with --norun of what is done by then"
        raise SummaryError(f"{path} is not there: {wrote}") from None
    except DataError as error:
        raise SummaryError(str(error)) from None
    version = found.get("format") if isinstance(found, dict) else None
    if version != FORMAT:
        raise SummaryError(
            f"{path}: format is {version!r}, expected {FORMAT}: a summary.json that "
            "glam_jax.study wrote"
        )
    return found
