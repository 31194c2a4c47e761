"""Finished cells of studies without any training: files as runs write them, numbers made up."""

import pathlib
import zlib

import numpy as np

from glam_jax.evaluation import intervals, joints
from glam_jax.experiment.workdir import AUDITS, REPLAY, RESULTS, STAGE1, Workdir
from glam_jax.files import write_json
from glam_jax.study import grid, worker

RATES = {"glam_o": 0.9, "glam": 0.7, "mip": 0.3}


def outcomes(cell: grid.Cell, trials: int, rate: float) -> str:
    """Success of each start, a function of the cell; starts are as hard for all methods."""
    hardness = np.random.default_rng(0).random(trials)
    luck = np.random.default_rng(zlib.crc32(cell.name.encode())).normal(0, 0.1, trials)
    return "".join("01"[int(one)] for one in hardness + luck < rate)


def measured(text: str) -> dict:
    """Counts and interval of outcomes."""
    low, high = intervals.wilson(text.count("1"), len(text))
    return {
        "successes": text.count("1"),
        "trials": len(text),
        "wilson_low": low,
        "wilson_high": high,
        "outcomes": text,
    }


def carry_out(cell: grid.Cell, path: pathlib.Path, rate: float | None = None) -> None:
    """Leaves the run folder as a real run would, in no time."""
    config = cell.config()
    workdir = Workdir(path)
    workdir.claim(config)
    rate = RATES[cell.method] if rate is None else rate
    about = {
        "task": cell.task,
        "method": cell.method,
        "seconds": {"pretrain": 60.0, "clone": 120.0},
        "device": "cpu (cpu, 1 devices)",
        "packages": {"jax": "0.10.2", "mujoco": "3.17.0", "mujoco-mjx": "3.17.0", "flax": "1"},
        "git_revision": "0123456789abcdef",
    }
    error = {"stage1": {"heldout_ee_mm": 7.5}, "stage2": {"heldout_ee_mm": 12.25}}
    if grid.REPLAY in cell.measure:
        write_json(path / STAGE1, about | {"decoded_error": {"stage1": error["stage1"]}})
        trials = config.replay.episodes
        luck = zlib.crc32(cell.name.encode()) % 1000 / 1000
        off = {"path_errors_mm": [10.0 + luck] * trials}
        target = config.data.target
        write_json(
            path / REPLAY,
            {
                f"{source}_to_{target}": measured(outcomes(cell, trials, rate * share)) | off
                for source, share in ((target, 1.0), ("umi", 0.8))
            },
        )
    if grid.AUDIT in cell.measure:
        source = {n for n, count in config.data.auxiliary.items() if count}
        parts = [{"name": "inside_range", "score": rate}, {"name": "replay_lower", "score": 0.9}]
        found = {"fit": rate >= 0.5, "score": min(rate, 0.9), "gates": parts}
        write_json(path / AUDITS, {name: found for name in source})
    if grid.POLICY in cell.measure:
        smooth = {"jerk_smoothness": -18.5, "fft_smoothness": 0.125, "clipped_share": 0.0}
        found = measured(outcomes(cell, config.evaluate.trials, rate)) | smooth
        found["first_seed"] = config.evaluate.first_seed
        way = np.linspace(0, 1, 40)[:, None] * np.ones(8)
        commands = {"policy": (1.1 * way).tolist(), "expert": way.tolist()}
        write_json(path / joints.FILE, {"hz": 20, "seed": 5, "success": True, **commands})
        write_json(path / RESULTS, about | found | {"decoded_error": error})


def finish(study, folder: pathlib.Path, do=carry_out) -> list[grid.Cell]:
    """Carries out a whole study, and gives its cells."""
    cells = grid.expand(study)
    for cell in cells:
        do(cell, worker.cell_folder(folder, cell.name))
    return cells
