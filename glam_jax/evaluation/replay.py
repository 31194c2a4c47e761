"""Open-loop replay: given actions are carried out in simulation, without looking."""

import functools
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.evaluation.rollout import Rollout, checked_seeds, execute_actions, run_batches
from glam_jax.sim.env import Env, simulation_options


def replay(
    env: Env,
    actions: Sequence[np.ndarray],
    seeds: Sequence[int],
    *,
    batch: int | None = None,
    film: int = 0,
) -> Rollout:
    """Carries out one action sequence per world, from the start that its seed stands for.

    In cross-source replay the actions are decoded from latents that the inverse dynamics model
    inferred from episode i, and seed i is that episode's: one seed is one scene and one start pose
    of the end effector, whichever the robot. All sequences last as long as the env's horizon, or
    the longest of them, holding their last action to the end, so that one compilation serves all.

    Args:
      env: the simulated world, of the robot that the actions are for.
      actions: N sequences (T_i, A) in physical units. Of an episode of T steps these are the
        T - 1 commands of its transitions.
      seeds: N episode seeds, one for each sequence.
      batch: worlds that each device simulates at a time; None shares all out.
      film: keep what pictures of this many worlds follow from, for a video.

    Returns:
      A `Rollout`; nothing is clipped.

    Raises:
      ValueError: an action is not finite; names its sequence and step.
    """
    seeds = checked_seeds(seeds)
    chex.assert_equal(len(actions), len(seeds))
    sequences = [np.asarray(sequence, np.float32) for sequence in actions]
    for index, sequence in enumerate(sequences):
        chex.assert_shape(sequence, (None, env.action_dim))
        if not (finite := np.isfinite(sequence).all(axis=1)).all():
            raise ValueError(f"replay: actions {index} are not finite at step {finite.argmin()}")
    horizon = max(env.horizon, *(len(sequence) for sequence in sequences))
    padded = np.stack([hold_last(sequence, horizon) for sequence in sequences])
    together = (seeds, padded)
    return run_batches(_compiled(env), (), together, horizon=horizon, batch=batch, film=film)


def summary(source: str, robot: str, result: Rollout) -> dict:
    """What is reported of a source's episodes replayed on a robot; see `Rollout.rate`."""
    return {"source": schema.title(source), "robot": schema.title(robot)} | result.rate()


def path_errors(result: Rollout, poses: Sequence[np.ndarray]) -> np.ndarray:
    """Mean distance of the end effectors from where the replayed episodes' were, step by step.

    It tells replays apart that all succeed. How far the arm is behind its commands is in it.

    Args:
      result: replays of N episodes, in order.
      poses: `ee_pose` (T_i, E) of each episode.

    Returns:
      (N,) in m, each over the steps that both have and all arms; nan where a replay diverged.
    """
    errors = []
    for path, pose in zip(result.ee_position, poses, strict=True):
        steps = min(len(path), len(pose))
        wanted = pose[:steps].reshape(steps, -1, schema.EE_DIM)[..., :3]
        found = path[:steps].reshape(steps, -1, 3)
        errors.append(np.linalg.norm(found - wanted, axis=-1).mean())
    return np.array(errors)


def hold_last(actions_TxA: np.ndarray, length: int) -> np.ndarray:
    """Actions (T, A) continued to (length, A) by repeating the last one."""
    return actions_TxA[np.minimum(np.arange(length), len(actions_TxA) - 1)]


@functools.lru_cache(maxsize=8)
def _compiled(env: Env) -> Callable[..., dict]:
    """The jitted scan over control steps: (seeds (B,), actions (B, T, A)) -> record (B, T, ...)."""

    def run(seeds_B: jax.Array, actions_BxTxA: jax.Array) -> dict:
        states = jax.vmap(env.reset)(jax.vmap(jax.random.key)(seeds_B))
        act = jax.vmap(functools.partial(execute_actions, env))
        _, record = act(states, actions_BxTxA)
        return {**record, "clipped": jnp.zeros(actions_BxTxA.shape, bool)}

    return jax.jit(run, compiler_options=simulation_options())
