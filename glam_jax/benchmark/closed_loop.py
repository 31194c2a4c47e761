"""Closed-loop evaluation: rendering, policy and physics together, as `evaluate` runs them."""

import functools
import itertools
from collections.abc import Iterator

import jax
import numpy as np

from glam_jax import config as configs
from glam_jax.benchmark import cost, samples, simulation
from glam_jax.benchmark.case import Case, Sizes, Work
from glam_jax.data import normalize
from glam_jax.evaluation import rollout
from glam_jax.stages import clone

REACH = 0.3  # how far made-up actions go from the postures, rad


def cases(sizes: Sizes) -> Iterator[Case]:
    """So many trials of each task, by an untrained policy of the standard scale."""
    for task, trials in itertools.product(sizes.tasks, sizes.trials):
        steps = f"/{sizes.horizon} steps" if sizes.horizon else ""
        make = functools.partial(_work, task, trials, sizes.horizon)
        yield Case(f"evaluation/{task}/{trials} trials{steps}", "trial", trials, make)


def _work(task: str, trials: int, horizon: int) -> Work:
    config = configs.make(task, "scale=standard")
    env, execute = simulation.env_of(task), config.evaluate.execute
    horizon = horizon or env.horizon
    act, params = _policy(config, env)
    # An accelerator runs all worlds at once, in about the time of a few.
    batch = min(trials, config.evaluate.batch) if jax.default_backend() == "cpu" else trials
    seeds = np.arange(config.evaluate.first_seed, config.evaluate.first_seed + trials)

    def run():
        found = rollout.rollout(
            env, act, params, seeds,
            execute=execute, horizon=horizon, batch=batch,
        )  # fmt: skip
        return found.actions

    scan = rollout.compiled(env, act, execute, -(-horizon // execute))
    must = cost.count(scan, params, seeds[:batch].astype(np.uint32))
    return Work(run, must.times(-(-trials // batch)))


def _policy(config, env):
    """An untrained policy whose actions stay near where the worlds start."""
    latent = config.world_model.latent
    state = simulation.starts(env, 16)
    postures, poses = (np.asarray(jax.vmap(part)(state)) for part in (env.proprio, env.ee_pose))
    model = clone.build(config, env.layout, latent)
    params = samples.params(functools.partial(clone.init_params, model, env.layout, config.seed))
    near = normalize.array_statistics(np.concatenate([postures - REACH, postures + REACH]))
    moving = {"diff_std": np.full(poses.shape[1], 1e-2, np.float32)}
    stats = {
        "ee_pose": normalize.array_statistics(poses) | moving,
        "proprio": near,
        "action": near,
        "label": normalize.array_statistics(np.array([[-1.0] * latent, [1.0] * latent])),
    }
    return clone.make_act(model), jax.device_put({"params": params, "stats": stats})
