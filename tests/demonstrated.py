"""Demonstrations of the first seeds, simulated once for all tests of a session."""

import functools
import os
import pathlib

import numpy as np

from glam_jax.evaluation.replay import replay
from glam_jax.sim import experts
from glam_jax.sim.env import Sight, make_env

SEEDS = np.arange(experts.batch())  # fewer would take as long


@functools.cache
def demonstrations(task, robot):
    """Trajectories of `SEEDS`, without images."""
    path = pathlib.Path(os.environ["GLAM_TEST_SHARED"]) / f"{task}_{robot}.npz"
    if not path.exists():
        _write(path, experts.simulate(make_env(task, robot), SEEDS))
    return _read(path)


def _write(path, found):
    """Whole or not at all: another worker may be at the same file."""
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, **{f"{i}/{k}": v for i, one in enumerate(found) for k, v in _flat(one).items()})
    part.rename(path)


def _flat(trajectory):
    arrays = trajectory._asdict() | trajectory.sight._asdict()
    return {name: arrays[name] for name in arrays if name != "sight" and arrays[name] is not None}


def _read(path):
    """As from `experts.simulate`."""
    with np.load(path) as stored:
        arrays = dict(stored)
    found = []
    for i in range(len(SEEDS)):
        one = {name.split("/")[1]: arrays[name] for name in arrays if name.startswith(f"{i}/")}
        sight = Sight(*(one.pop(name, None) for name in Sight._fields))
        found.append(experts.Trajectory(sight=sight, **one))
    return found


def success_rate(task, robot):
    return np.mean([t.success[-1] for t in demonstrations(task, robot)])


def replayed(task, robot):
    """What recorded actions do, carried out open-loop from the recorded start: a `Rollout`."""
    # As from an episode: the last action belongs to no transition.
    actions = [t.action[:-1] for t in demonstrations(task, robot)]
    return replay(make_env(task, robot), actions, SEEDS, batch=len(SEEDS))
