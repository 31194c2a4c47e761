"""Scripted experts: demonstrations of each task by each robot.

An expert plans the paths of the hands from the true start of the scene (`tasks`), with timing,
heights and approach varied by the episode's seed, and the plan is carried out open-loop through
`env.step`. All robots carry out the same plan for one seed; the one of `kinova_real`, the
simulated stand-in for a real arm, is driven as a person would (`human`).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.sim import human, kinematics
from glam_jax.sim.env import SIMULATOR_VERSION, Env, EnvState, Sight, simulation_options
from glam_jax.sim.tasks.path import Path

STEPS_AFTER_SUCCESS = 5
_IK_ITERATIONS = 12  # per control step, each starting from the step before


class Trajectory(NamedTuple):
    """Outcome of one demonstration before rendering, over T control steps.

    Attributes:
      ee_pose: (T, E), proprio: (T, S), action: (T, A) of the step that starts at each.
      sight: what pictures follow from, arrays (T, ...).
      success: (T,) bool, latched.
    """

    ee_pose: np.ndarray
    proprio: np.ndarray
    action: np.ndarray
    sight: Sight
    success: np.ndarray


# --------------------------------------------------------------------- carrying out


def _joint_actions(path: Path, start_joints: jax.Array, bases: jax.Array) -> jax.Array:
    """Kinova actions (T, 8 R) along a path: every step is solved, starting from the one before.

    The pull of `kinematics.inverse` to one posture makes joints a function of the pose.
    `start_joints` (R, 7), `bases` (R, 3).
    """
    rotation = kinematics.pointing_down(path.yaw)

    def solve(joints, target):
        solve_arm = functools.partial(kinematics.inverse, iterations=_IK_ITERATIONS)
        joints = jax.vmap(solve_arm)(*target, joints)
        return joints, joints

    _, joints = jax.lax.scan(solve, start_joints, (path.position - bases, rotation))
    return _flat(jnp.concatenate([joints, path.command[..., None]], axis=-1))


def _pose_actions(path: Path) -> jax.Array:
    """UMI actions (T, 10 R) along a path."""
    rotation = kinematics.pointing_down(path.yaw)
    return _flat(kinematics.ee_pose(path.position, rotation, path.command))


def _flat(actions_TxRxA):
    return actions_TxRxA.reshape(len(actions_TxRxA), -1)


def _begin(env: Env, seed: jax.Array) -> tuple[EnvState, jax.Array]:
    """Start of one demonstration and the actions (T, A) of its plan, T = `env.plan_steps`."""
    key, task = jax.random.key(seed), env.task
    state = env.reset(key)
    path = task.plan(jax.random.fold_in(key, 2), task.sample(key), task.plan_steps)
    if env.robot.realism:
        driver = env.robot.realism.demonstrator
        path = human.demonstrated(path, driver, jax.random.fold_in(key, 4), env.plan_steps)
    if env.robot.has_actions:
        joints = env.proprio(state).reshape(task.arms, -1)[:, :7]
        return state, _joint_actions(path, joints, env.bases)
    return state, _pose_actions(path)


def _carry_out(env: Env, start: EnvState, actions_BxTxA: jax.Array):
    """States of B worlds after the actions, and what was seen before each: `Trajectory`, untrimmed.

    The scan is over worlds that are batched within it: the other way round, JAX traces the
    physics several times to find out what is batched.
    """

    def step(state, action):
        now = (env.ee_pose(state), env.proprio(state), action, env.sight(state), state.success)
        return env.step(state, action), Trajectory(*now)

    end, seen = jax.lax.scan(jax.vmap(step), start, actions_BxTxA.swapaxes(0, 1))
    return end, jax.tree.map(lambda x: x.swapaxes(0, 1), seen)


@functools.cache
def beginner(env: Env):
    """Compiled: seeds (B,) uint32 to the starts of B worlds and actions (B, T, A) of the plans."""
    run = jax.vmap(functools.partial(_begin, env))
    return jax.jit(run, compiler_options=simulation_options())


@functools.cache
def performer(env: Env):
    """Compiled `_carry_out`, once for a number of worlds and of steps.

    Apart from `beginner` because its program, the physics, is the same whatever the plan is.
    """
    run = functools.partial(_carry_out, env)
    return jax.jit(run, compiler_options=simulation_options())


def batch() -> int:
    """Worlds that are simulated together on this backend, always: results at other batch sizes
    differ in last bits."""
    return 50 if jax.default_backend() == "cpu" else 400


def _frames() -> int:
    """Frames that are rendered together."""
    return 200 if jax.default_backend() == "cpu" else 4000


@functools.cache
def _painter(env: Env):
    """Compiled rendering of `_frames` frames."""
    return jax.jit(jax.vmap(env.render), compiler_options=simulation_options())


def simulate(env: Env, seeds: np.ndarray) -> list[Trajectory]:
    """Demonstrations of the seeds (B,) without images, each trimmed shortly after success.

    One trajectory per seed, in order, failures included (their last `success` is False). A
    seed gives the same trajectory whatever the other seeds are.

    Raises:
      ValueError: seeds are not a flat array of whole numbers.
    """
    seeds = np.asarray(seeds)
    if seeds.ndim != 1 or not np.issubdtype(seeds.dtype, np.integer):
        found = f"{seeds.dtype} of shape {seeds.shape}"
        raise ValueError(f"seeds must be whole numbers of shape (B,), found {found}")
    trajectories, worlds = [], batch()
    for first in range(0, len(seeds), worlds):
        part = seeds[first : first + worlds]
        padded = np.resize(part, worlds).astype(np.uint32)
        _, seen = performer(env)(*beginner(env)(padded))
        seen = jax.tree.map(np.asarray, seen)
        for i in range(len(part)):
            trajectories.append(_trim(jax.tree.map(lambda x, i=i: x[i], seen)))
    return trajectories


def _trim(trajectory: Trajectory) -> Trajectory:
    """Cut a trajectory `STEPS_AFTER_SUCCESS` steps after its success."""
    done = np.flatnonzero(trajectory.success)
    end = len(trajectory.success) if not len(done) else done[0] + STEPS_AFTER_SUCCESS + 1
    return jax.tree.map(lambda x: x[:end], trajectory)


def render_frames(env: Env, sight: Sight) -> dict[str, np.ndarray]:
    """Images and masks of frames: arrays (N, ...) -> schema name -> (N, H, W, .)."""
    count, together, parts = len(sight.geom_xpos), _frames(), []
    for first in range(0, count, together):
        index = np.minimum(np.arange(first, first + together), count - 1)
        frames = jax.tree.map(lambda x: x[index], sight)  # noqa: B023
        parts.append(jax.tree.map(np.asarray, _painter(env)(frames)))
    return {name: np.concatenate([p[name] for p in parts])[:count] for name in parts[0]}


def demonstrate(env: Env, seeds: np.ndarray) -> list[schema.Episode]:
    """Demonstrations of the seeds (B,) as episodes, failures included (see `success`).

    Raises:
      ValueError: as `simulate`.
    """
    seeds = np.asarray(seeds)
    trajectories = simulate(env, seeds)
    if not trajectories:
        return []
    lengths = [len(t.success) for t in trajectories]
    sights = [t.sight for t in trajectories]
    images = render_frames(env, jax.tree.map(lambda *parts: np.concatenate(parts), *sights))
    ends = np.cumsum(lengths)
    episodes = []
    for seed, trajectory, length, end in zip(seeds, trajectories, lengths, ends, strict=True):
        frames = {name: values[end - length : end] for name, values in images.items()}
        found = {**frames, **trajectory._asdict()}
        steps = {name: found[name] for name in env.layout.step_arrays()}
        success = bool(trajectory.success[-1])
        episodes.append(
            schema.Episode(
                steps, env.task.name, env.robot.name, int(seed), success, SIMULATOR_VERSION
            )
        )
    return episodes
