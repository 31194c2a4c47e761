"""Runs that share a world model: one pretrains it, others name that run and only read it."""

import json

from ml_collections import ConfigDict

from glam_jax import files
from glam_jax.experiment.workdir import Workdir, WorkdirError
from glam_jax.runtime import checkpoint
from glam_jax.schema import Layout
from glam_jax.stages import world_model

# What a run and the one that it borrows from must have in common.
SHARED = ("task", "method", "image_size", "data.target", "data.views", "world_model")


def lender(config: ConfigDict, workdir: Workdir) -> Workdir:
    """The folder whose stage 1 a run uses: its own, or that of `config.world_model_from`.

    Raises:
      WorkdirError: the folder named there holds no run, the run borrows its world model itself,
        differs in what both must share, or has not finished stage 1.
    """
    if not config.world_model_from:
        return workdir
    other = Workdir(files.absolute(files.below(workdir.path, config.world_model_from)))
    named = f"{workdir.path}: world_model_from is {config.world_model_from!r}, that is {other.path}"
    if not other.path.is_dir():
        raise WorkdirError(f"{named}; there is no such folder: make that run first")
    theirs = other.config()
    if theirs.world_model_from:
        raise WorkdirError(
            f"{named}, which borrows from {theirs.world_model_from!r}; name that run"
        )
    if different := [key for key in SHARED if _value(theirs, key) != _value(config, key)]:
        raise WorkdirError(f"{named}; that run has another {', '.join(different)}")
    done, steps = _trained_to(other), theirs.pretrain.steps
    if done < steps:
        raise WorkdirError(f"{named}; its stage 1 is at step {done} of {steps}: finish it first")
    return other


def load(config: ConfigDict, layout: Layout, workdir: Workdir) -> world_model.WorldModel:
    """The frozen world model that a run uses, its own or a borrowed one.

    Raises:
      WorkdirError: see `lender`.
      FileNotFoundError, CheckpointError: see `checkpoint.restore_for_inference`.
    """
    return world_model.load(config, layout, lender(config, workdir).world_model)


def _value(config: ConfigDict, key: str):
    value = config
    for part in key.split("."):
        value = value.get(part)  # configs of earlier runs lack some
    # As JSON has it: a config read from a file has lists where another has tuples.
    return value.to_json() if isinstance(value, ConfigDict) else json.dumps(value)


def _trained_to(workdir: Workdir) -> int:
    """Updates behind the newest checkpoint of stage 1; 0 without one."""
    try:
        return checkpoint.restore_for_inference(workdir.world_model).step
    except FileNotFoundError:
        return 0
