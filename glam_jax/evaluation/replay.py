"""Open-loop replay: given actions are carried out in simulation, without looking."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.evaluation import intervals
from glam_jax.evaluation.rollout import Rollout, checked_seeds, execute_actions, run_batches
from glam_jax.sim.env import Env, simulation_options


def replay(
    env: Env,
    actions: Sequence[np.ndarray],
    seeds: Sequence[int],
    *,
    horizon: int | None = None,
    batch: int | None = None,
    film: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> Rollout:
    """Carries out one action sequence per world, from the start that its seed stands for.

    In cross-source replay (SPEC section 5) the actions are decoded from latents that the
    inverse dynamics model inferred from episode i, and seed i is that episode's: one seed is
    one scene and one start pose of the end effector, whichever the robot. All sequences last
    `horizon` steps, holding their last action to the end, so that one compilation serves all.

    Args:
      env: the simulated world, of the robot that the actions are for.
      actions: N sequences (T_i, A) in physical units. Of an episode of T steps these are the
        T - 1 commands of its transitions.
      seeds: N episode seeds, one for each sequence.
      horizon: control steps T; None for the env's own, or the longest sequence if longer.
      batch: worlds that each device simulates at a time; None shares all out.
      film: keep what pictures of this many worlds follow from, for a video.
      progress: called with the number of worlds just finished, such as `tqdm.update`.

    Returns:
      A `Rollout`; nothing is clipped.

    Raises:
      ValueError: if sequences and seeds differ in number, or a sequence is empty, longer than
        `horizon`, of another width than A, or not finite.
    """
    seeds = checked_seeds(seeds)
    if len(actions) != len(seeds):
        raise ValueError(f"replay: {len(actions)} action sequences for {len(seeds)} seeds")
    sequences = [np.asarray(sequence, np.float32) for sequence in actions]
    for index, sequence in enumerate(sequences):
        _check_sequence(index, sequence, env.action_dim, horizon)
    if horizon is None:
        horizon = max(env.horizon, *(len(sequence) for sequence in sequences))
    padded = np.stack([hold_last(sequence, horizon) for sequence in sequences])
    return run_batches(
        _compiled(env),
        (),
        (seeds, padded),
        horizon=horizon,
        batch=batch,
        film=film,
        progress=progress,
    )


def summary(source: str, robot: str, result: Rollout) -> dict:
    """What is reported of a source's episodes replayed on a robot: success with its interval."""
    successes, trials = int(result.success.sum()), len(result)
    low, high = intervals.wilson(successes, trials)
    return {
        "source": schema.title(source),
        "robot": schema.title(robot),
        "successes": successes,
        "trials": trials,
        "wilson_low": low,
        "wilson_high": high,
    }


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


def _check_sequence(index: int, sequence: np.ndarray, width: int, horizon: int | None) -> None:
    if sequence.ndim != 2 or not len(sequence) or sequence.shape[1] != width:
        raise ValueError(
            f"replay: actions {index} have shape {sequence.shape}; expected (at least 1, {width})"
        )
    if horizon is not None and len(sequence) > horizon:
        raise ValueError(f"replay: actions {index} last {len(sequence)} steps of {horizon}")
    if not np.isfinite(sequence).all():
        step = int(np.argmax(~np.isfinite(sequence).all(axis=1)))
        raise ValueError(f"replay: actions {index} are not finite at step {step}")


@functools.lru_cache(maxsize=8)
def _compiled(env: Env) -> Callable[..., dict]:
    """The jitted scan over control steps: (seeds (B,), actions (B, T, A)) -> record (B, T, ...)."""

    def run(seeds_B: jax.Array, actions_BxTxA: jax.Array) -> dict:
        states = jax.vmap(env.reset)(jax.vmap(jax.random.key)(seeds_B))
        act = jax.vmap(functools.partial(execute_actions, env))
        _, record = act(states, actions_BxTxA)
        return {**record, "clipped": jnp.zeros(actions_BxTxA.shape, bool)}

    return jax.jit(run, compiler_options=simulation_options())
