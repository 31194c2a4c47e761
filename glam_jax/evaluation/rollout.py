"""Closed-loop rollouts: a policy acts on a batch of simulated worlds, receding horizon."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.evaluation import intervals
from glam_jax.runtime import sharding
from glam_jax.sim.env import Env, Sight, simulation_options

# Keeps the policy's random numbers apart from those that place the scene.
POLICY_STREAM = 0x706F6C

# policy(params, observation, keys) -> action chunk (B, K, A) in physical units.
Policy = Callable[[Any, dict[str, jax.Array], jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """What happened in N worlds over T control steps.

    Step t of `ee_position`, `actions` and `sight` belongs together as in an episode: the
    state seen before the step, and the command held during it.

    Attributes:
      seeds: (N,) seed of each world.
      success: (N,) bool, the task's condition was met within T steps.
      steps: (N,) int, control steps until success; T where there was none.
      ee_position: (N, T, 3 * arms) end-effector positions in m.
      actions: (N, T, A) commands as the policy gave them, physical units.
      clipped: (N,) fraction of the action entries outside of the robot's bounds, at which its
        actuators stop.
      sight: what pictures of the first F worlds follow from, arrays (F, T, ...), from which
        `video` renders; F is what `film` asked for.
    """

    seeds: np.ndarray
    success: np.ndarray
    steps: np.ndarray
    ee_position: np.ndarray
    actions: np.ndarray
    clipped: np.ndarray
    sight: Sight

    def __len__(self) -> int:
        return len(self.seeds)

    def rate(self) -> dict:
        """For reports: `successes`, `trials`, the ends of their 95% interval, and `outcomes`."""
        successes, trials = int(self.success.sum()), len(self)
        low, high = intervals.wilson(successes, trials)
        return {
            "successes": successes,
            "trials": trials,
            "wilson_low": low,
            "wilson_high": high,
            # Success of each start in order, 1 or 0: what a comparison on the same starts needs.
            "outcomes": "".join("01"[int(one)] for one in self.success),
        }

    def trajectories(self) -> list[np.ndarray]:
        """End-effector positions (T_i, 3 * arms) of each world up to its success."""
        return [path[:steps] for path, steps in zip(self.ee_position, self.steps, strict=True)]


def rollout(
    env: Env,
    policy: Policy,
    params: Any,
    seeds: Sequence[int],
    *,
    execute: int,
    horizon: int | None = None,
    batch: int | None = None,
    film: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> Rollout:
    """Runs a policy in closed loop from the start that each seed stands for.

    At each decision the policy sees rendered images and the state, and returns a chunk of K
    actions of which the first `execute` are carried out before it decides again. Rendering,
    policy and physics of a batch of worlds are one jitted scan, compiled once for an
    (env, policy, execute, horizon) and batch: hand over the same function `policy` each time,
    and what changes between calls as `params`. The last batch is padded. Worlds run on after
    success, which is latched. Several hosts take a share of the seeds each, and all get the
    whole: every host calls it alike.

    Args:
      env: the simulated world, of a robot with the policy's actions.
      policy: policy(params, observation, keys) -> (B, K, A), pure, in physical units.
        observation: image (B, V, H, W, 3) uint8, ee_pose (B, E), and proprio (B, S) for a
        robot that has it; keys: (B,), each from its world's seed and decision alone.
      params: pytree passed to the policy, an argument of the jitted function.
      seeds: N episode seeds; equal seeds are equal starts.
      execute: actions of a chunk carried out at each decision, 1 to K.
      horizon: control steps T; the env's own if None.
      batch: worlds that each of this host's devices simulates at a time; None shares all out.
      film: keep what pictures of this many worlds follow from, for a video.
      progress: called with the number of worlds just finished, such as `tqdm.update`.

    Raises:
      ValueError: for no or negative seeds, or sizes that are not positive.
      AssertionError: a chunk shorter than `execute` or of another shape than (B, K, A).
    """
    horizon = env.horizon if horizon is None else horizon
    for name, value in (("execute", execute), ("horizon", horizon)):
        if value < 1:
            raise ValueError(f"rollout: {name} is {value}; expected at least 1")
    return run_batches(
        compiled(env, policy, execute, -(-horizon // execute)),
        (params,),
        (checked_seeds(seeds),),
        horizon=horizon,
        batch=batch,
        film=film,
        progress=progress,
    )


def observe(env: Env, state: Any) -> dict[str, jax.Array]:
    """What a policy sees of one world: image (V, H, W, 3), ee_pose (E,), proprio (S,)."""
    images = env.render(env.sight(state))
    observation = {
        "image": jnp.stack([images[f"image_{view}"] for view in env.layout.views]),
        "ee_pose": env.ee_pose(state),
    }
    if env.layout.has_actions:
        observation["proprio"] = env.proprio(state)
    return observation


def execute_actions(env: Env, state: Any, actions_TxA: jax.Array) -> tuple[Any, dict]:
    """Carries out actions (T, A) in one world and records each step, as `Rollout` lays it out.

    Returns:
      The state after the last action, and a record of arrays (T, ...): ee_position, action
      and sight before each step, success after it.
    """

    def control_step(state: Any, action: jax.Array) -> tuple[Any, dict]:
        pose = env.ee_pose(state).reshape(env.layout.arms, schema.EE_DIM)
        seen = {
            "ee_position": pose[:, :3].reshape(-1),
            "action": action,
            "sight": env.sight(state),
        }
        state = env.step(state, action)
        return state, {**seen, "success": env.success(state)}

    return jax.lax.scan(control_step, state, actions_TxA)


def checked_seeds(seeds: Sequence[int]) -> np.ndarray:
    """Seeds as (N,) uint32, the form in which they enter a jitted function."""
    given = np.asarray(seeds)
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu":
        raise ValueError(f"seeds: found {given.dtype} {given.shape}; expected one or more integers")
    if given.min() < 0 or given.max() >= 2**32:
        raise ValueError(f"seeds: found {given.min()} to {given.max()}; expected 0 to 2**32 - 1")
    return given.astype(np.uint32)


def run_batches(
    function: Callable[..., dict],
    same: tuple,
    arrays: tuple[np.ndarray, ...],
    *,
    horizon: int,
    batch: int | None,
    film: int,
    progress: Callable[[int], Any] | None = None,
) -> Rollout:
    """Runs N worlds in batches of one size, a share on each host, and joins what they recorded.

    What is kept of a world is small next to its simulation: `Rollout` without `sight`, some 50
    bytes a step and arm. The rest goes with the batch, so thousands of worlds fit.

    Args:
      function, same: function(*same, *a batch of each array) -> a record, arrays (B, at least T,
        ...); see `sharding.over_worlds`.
      arrays: arguments (N, ...) of `function`, the seeds first. Shares and batches are filled up
        with repetitions of the last world, whose records are dropped.
      horizon: T, steps kept of each record.
      batch: worlds of each device at a time, or None for all at once.
      film: worlds whose sight is kept.
      progress: called with the number of worlds just finished, on all hosts if they keep pace.

    Raises:
      ValueError: if `batch` is not positive.
    """
    run, devices = sharding.over_worlds(function, same), jax.local_device_count()
    total, hosts = len(arrays[0]), jax.process_count()
    share = -(-total // hosts)
    batch = -(-share // devices) if batch is None else batch
    if batch < 1:
        raise ValueError(f"batch is {batch}; expected at least 1 world")
    first, parts = jax.process_index() * share, []
    for start in range(0, share, batch * devices):
        rows = np.minimum(first + np.arange(start, start + batch * devices), total - 1)
        for at, record in enumerate(run(*(array[rows] for array in arrays))):
            before = min(start + at * batch, share)
            parts.append(_kept(record, min(batch, share - before), horizon, max(film - before, 0)))
        if progress is not None:
            done = min(start + batch * devices, share)
            progress(min(done * hosts, total) - start * hosts)
    record = jax.tree.map(lambda *values: np.concatenate(values), *parts)
    sight = record.pop("sight")
    record = {name: value[:total] for name, value in sharding.of_all_hosts(record).items()}
    if film:  # an array of no worlds cannot be sent
        sight = jax.tree.map(lambda value: value[:film], sharding.of_all_hosts(sight))
    reached = record["success"].astype(bool)
    success = reached.any(axis=1)
    return Rollout(
        seeds=arrays[0],
        success=success,
        steps=np.where(success, reached.argmax(axis=1) + 1, reached.shape[1]),
        ee_position=record["ee_position"],
        actions=record["action"],
        clipped=record["clipped"].mean(axis=(1, 2)),
        sight=sight,
    )


def _kept(record: dict, count: int, horizon: int, film: int) -> dict:
    """The first T steps of a device's first worlds, on the host; the sight of fewer."""
    sight = record.pop("sight")
    part = {name: np.asarray(value)[:count, :horizon] for name, value in record.items()}
    seen = min(film, count)
    return part | {"sight": jax.tree.map(lambda value: np.asarray(value[:seen, :horizon]), sight)}


@functools.lru_cache(maxsize=8)
def compiled(env: Env, policy: Policy, execute: int, decisions: int) -> Callable[..., dict]:
    """The jitted scan over decisions: (params, seeds (B,)) -> record (B, T, ...)."""
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    low_A, high_A = env.action_bounds

    def run(params: Any, seeds_B: jax.Array) -> dict:
        keys = jax.vmap(jax.random.key)(seeds_B)
        policy_keys = fold(keys, POLICY_STREAM)

        def decide(state: Any, decision: jax.Array) -> tuple[Any, dict]:
            observation = jax.vmap(functools.partial(observe, env))(state)
            chunk = policy(params, observation, fold(policy_keys, decision))
            chex.assert_shape(chunk, (len(seeds_B), None, env.action_dim))
            chex.assert_axis_dimension_gteq(chunk, 1, execute)
            actions = chunk[:, :execute].astype(jnp.float32)
            # Counted alone: the actuators stop there. Asked by comparing, XLA rounds physics anew.
            inside = jnp.clip(actions, low_A, high_A)
            state, record = jax.vmap(functools.partial(execute_actions, env))(state, actions)
            return state, {**record, "clipped": jnp.abs(actions - inside) > 0}

        _, records = jax.lax.scan(decide, jax.vmap(env.reset)(keys), jnp.arange(decisions))
        return jax.tree.map(_join_decisions, records)

    return jax.jit(run, compiler_options=simulation_options())


def _join_decisions(record: jax.Array) -> jax.Array:
    """(decisions, B, execute, ...) -> (B, decisions * execute, ...)."""
    record = jnp.moveaxis(record, 0, 1)
    return record.reshape(record.shape[0], -1, *record.shape[3:])
