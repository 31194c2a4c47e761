"""A tiny policy of random parameters on the arm of `foreign_data`, as training would leave it."""

import pathlib
import shutil

import foreign_data
import numpy as np
import tiny_policy
from ml_collections import ConfigDict

from glam_jax.experiment import experiment
from glam_jax.experiment.workdir import Workdir
from glam_jax.schema import Episode
from glam_jax.stages import units


def save(root: pathlib.Path, **changes) -> tuple[pathlib.Path, ConfigDict, list[Episode]]:
    """(run folder, config, converted episodes); `changes` are of the key map.

    What was recorded, and what it was converted to, is gone from the disk.
    """
    arm = foreign_data.write(root, "arm", True, "array_record")
    keys = foreign_data.key_map(arm, True, **changes)
    config = foreign_data.config(
        root / "data", keys, {}, "method=mip,scale=quick", auxiliary={}, sources={"arm": keys}
    )
    with config.unlocked():
        config.policy.update(tiny_policy.TINY)
        config.evaluate.execute = tiny_policy.EXECUTE
    run = Workdir(root / "run")
    run.claim(config)
    data = experiment.prepare(config, run)
    stats = units.label_statistics(data.store.transition_actions(), data.stats, False)
    tiny_policy.leave(run, config, data.store.layout, stats)
    episodes = foreign_data.read(config)
    shutil.rmtree(arm)
    shutil.rmtree(root / "data")
    return run.path, config, episodes


def recorded(step: int, episode: int = 0) -> dict[str, np.ndarray]:
    """The observation of a step as it was recorded, by its keys."""
    found = foreign_data.example(episode, True)["steps"][step]["observation"]
    return {f"observation/{name}": array for name, array in found.items()}
