"""Simulated worlds to start from, made once for all cases that use them."""

import functools

import jax
import numpy as np

from glam_jax.sim import env as simulation
from glam_jax.sim.env import Env, EnvState

ROBOT = "kinova"  # the clean one: what is drawn and stepped is the same in every world


def env_of(task: str, pixels: int = 64) -> Env:
    """The environment of a task with the arm that is measured."""
    return simulation.make_env(task, ROBOT, pixels)


@functools.lru_cache(maxsize=4)
def starts(env: Env, worlds: int) -> EnvState:
    """The states of so many starts, seeds from 0 on, arrays (N, ...)."""
    keys = jax.vmap(jax.random.key)(np.arange(worlds, dtype=np.uint32))
    return jax.jit(jax.vmap(env.reset), compiler_options=simulation.simulation_options())(keys)


def held(env: Env, state: EnvState) -> jax.Array:
    """Actions (N, A) that hold the posture of each world."""
    return jax.vmap(env.proprio)(state)
