"""Demonstrations of the first seeds, simulated once for all tests of a process."""

import functools

import numpy as np

from glam_jax.evaluation.replay import replay
from glam_jax.sim import experts
from glam_jax.sim.env import make_env

SEEDS = np.arange(experts.BATCH)  # fewer would take as long


@functools.cache
def demonstrations(task, robot):
    """Trajectories of `SEEDS`, without images."""
    return experts.simulate(make_env(task, robot), SEEDS)


def success_rate(task, robot):
    return np.mean([t.success[-1] for t in demonstrations(task, robot)])


def replayed_rate(task, robot):
    """Success of recorded actions carried out open-loop from the recorded start."""
    # As from an episode: the last action belongs to no transition.
    actions = [t.action[:-1] for t in demonstrations(task, robot)]
    return replay(make_env(task, robot), actions, SEEDS, batch=len(SEEDS)).success.mean()
