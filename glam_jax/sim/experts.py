"""Scripted experts: demonstrations of each task by each robot.

An expert plans the path of the hand from the true start of the scene, with timing, heights
and approach varied by the episode's seed, and the plan is carried out open-loop through
`env.step`. Both robots carry out the same plan for one seed.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.sim import kinematics
from glam_jax.sim.env import SIMULATOR_VERSION, Env, simulation_options
from glam_jax.sim.tasks import Start, uniform

BATCH = 50  # worlds simulated together, always: results at other batch sizes differ in last bits
FRAMES = 200  # frames rendered together
PLAN_STEPS = 120  # control steps simulated: every plan ends well before
STEPS_AFTER_SUCCESS = 5
_IK_ITERATIONS = 12  # per control step, each starting from the step before


class Path(NamedTuple):
    """Commanded motion of one hand, pointing down, over T control steps.

    Attributes:
      position: (T, 3) m.
      yaw: (T,) rad.
      command: (T,) of the gripper, 1 open.
    """

    position: jax.Array
    yaw: jax.Array
    command: jax.Array


class Trajectory(NamedTuple):
    """Outcome of one demonstration before rendering, over T control steps.

    Attributes:
      ee_pose: (T, E), proprio: (T, S), action: (T, A) of the step that starts at each.
      geoms: positions (T, G, 3) and rotations (T, G, 3, 3) of all geoms.
      success: (T,) bool, latched.
    """

    ee_pose: np.ndarray
    proprio: np.ndarray
    action: np.ndarray
    geoms: tuple[np.ndarray, np.ndarray]
    success: np.ndarray


# ------------------------------------------------------------------------ plans


def _minimum_jerk(s):
    """Share of the way at share `s` of the time, with velocity and acceleration 0 at both ends."""
    s = jnp.clip(s, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def _nearest_quarter_turn(yaw, nominal):
    """The yaw equivalent to `yaw` for a cube that lies nearest to `nominal` (rad)."""
    quarter = jnp.pi / 2
    return nominal + jnp.mod(yaw - nominal + quarter / 2, quarter) - quarter / 2


def _duration(distance, speed, least):
    """Control steps, at least `least`, of a move over `distance` m at mean `speed` m/s."""
    return jnp.maximum(jnp.round(20.0 * distance / speed), least)


def plan_lifting(key: jax.Array, start: Start, steps: int) -> Path:
    """Reach over the cube, descend, close, lift: a `Path` of `steps` control steps for one hand.

    Varied by `key`: height and sideways offset of the approach, its bow, speeds, depth of the
    grasp and where along the pads, time to close, height and drift of the lift.
    """
    low = [0.08, -0.012, -0.012, -0.05, 0.14, 0.08, -0.003, -0.004, 4.0, 0.13, 0.16, -0.05, -0.05]
    high = [0.14, 0.012, 0.012, 0.05, 0.22, 0.12, 0.006, 0.004, 6.99, 0.20, 0.22, 0.05, 0.05]
    draw = uniform(key, low, high)
    above, offset, bow, reach_speed, down_speed = draw[0], draw[1:3], draw[3], draw[4], draw[5]
    depth, along, dwell, lift_speed, height = draw[6], draw[7], draw[8], draw[9], draw[10]
    cube, home = start.object_position[0], start.tcp_position[0]
    yaw = _nearest_quarter_turn(start.object_yaw[0], 0.0)

    grasp = cube + jnp.stack([along * jnp.cos(yaw), along * jnp.sin(yaw), depth])
    over = grasp + jnp.stack([offset[0], offset[1], above])
    top = _within_reach(grasp + jnp.stack([draw[11], draw[12], height]))
    reach = _duration(jnp.linalg.norm(over - home), reach_speed, 14.0)
    down = _duration(jnp.linalg.norm(grasp - over), down_speed, 10.0)
    close = jnp.floor(dwell)
    lift = _duration(jnp.linalg.norm(top - grasp), lift_speed, 16.0)

    # The command at step t is where the hand should be at step t + 1.
    time = jnp.arange(1, steps + 1, dtype=jnp.float32)
    s_reach, s_down = time / reach, (time - reach) / down
    lifting_at = reach + down + close
    s_lift = (time - lifting_at) / lift
    position = home + _minimum_jerk(s_reach)[:, None] * (over - home)
    position += _minimum_jerk(s_down)[:, None] * (grasp - over)
    position += _minimum_jerk(s_lift)[:, None] * (top - grasp)
    position += _bow(s_reach, over - home, bow)
    turn = start.tcp_yaw[0] + _minimum_jerk(s_reach) * (yaw - start.tcp_yaw[0])
    return Path(position, turn, (time <= reach + down).astype(jnp.float32))


def _within_reach(position):
    """The nearest position (3,) at which the arm does not have to stretch, a lift high."""
    far = jnp.linalg.norm(position[:2]) / 0.62
    return position.at[:2].divide(jnp.maximum(far, 1.0))


def _bow(s, way, size):
    """Sideways detour (T, 3) of at most `size` m in the middle of a level move along `way`."""
    side = jnp.stack([-way[1], way[0], jnp.zeros(())])
    side = side / (jnp.linalg.norm(side) + 1e-6)
    s = jnp.clip(s, 0.0, 1.0)
    return (size * 16.0 * s**2 * (1.0 - s) ** 2)[:, None] * side


PLANS = {"lifting": plan_lifting}


# --------------------------------------------------------------------- carrying out


def _joint_actions(path: Path, start_joints: jax.Array) -> jax.Array:
    """Kinova actions (T, 8) along a path: every step is solved, starting from the one before.

    The pull of `kinematics.inverse` to one posture makes joints a function of the pose.
    """
    rotation = kinematics.pointing_down(path.yaw)

    def solve(joints, target):
        joints = kinematics.inverse(*target, joints, _IK_ITERATIONS)
        return joints, joints

    _, joints = jax.lax.scan(solve, start_joints, (path.position, rotation))
    return jnp.concatenate([joints, path.command[:, None]], axis=-1)


def _pose_actions(path: Path) -> jax.Array:
    """UMI actions (T, 10) along a path."""
    return kinematics.ee_pose(path.position, kinematics.pointing_down(path.yaw), path.command)


def _demonstrate_one(env: Env, seed: jax.Array) -> Trajectory:
    """One demonstration, untrimmed: T is `PLAN_STEPS`."""
    key = jax.random.key(seed)
    state = env.reset(key)
    path = PLANS[env.task.name](jax.random.fold_in(key, 2), env.task.sample(key), PLAN_STEPS)
    if env.robot.has_actions:
        actions = _joint_actions(path, env.proprio(state)[:7])
    else:
        actions = _pose_actions(path)

    def step(state, action):
        now = (env.ee_pose(state), env.proprio(state), action, env.geoms(state), state.success)
        return env.step(state, action), Trajectory(*now)

    return jax.lax.scan(step, state, actions)[1]


@functools.cache
def _simulator(env: Env):
    """Compiled demonstrations of `BATCH` seeds."""
    run = jax.vmap(functools.partial(_demonstrate_one, env))
    return jax.jit(run, compiler_options=simulation_options())


@functools.cache
def _painter(env: Env):
    """Compiled rendering of `FRAMES` frames."""
    return jax.jit(jax.vmap(env.render), compiler_options=simulation_options())


def simulate(env: Env, seeds: np.ndarray) -> list[Trajectory]:
    """Demonstrations of the seeds (B,) without images, each trimmed shortly after success.

    One trajectory per seed, in order, failures included (their last `success` is False). A
    seed gives the same trajectory whatever the other seeds are.

    Raises:
      ValueError: the task has no expert, or seeds are not a flat array of whole numbers.
    """
    seeds = np.asarray(seeds)
    if env.task.name not in PLANS:
        raise ValueError(f"no expert for task {env.task.name!r}; known: {', '.join(PLANS)}")
    if seeds.ndim != 1 or not np.issubdtype(seeds.dtype, np.integer):
        found = f"{seeds.dtype} of shape {seeds.shape}"
        raise ValueError(f"seeds must be whole numbers of shape (B,), found {found}")
    trajectories = []
    for first in range(0, len(seeds), BATCH):
        part = seeds[first : first + BATCH]
        padded = np.resize(part, BATCH).astype(np.uint32)
        batch = jax.tree.map(np.asarray, _simulator(env)(padded))
        for i in range(len(part)):
            trajectories.append(_trim(jax.tree.map(lambda x, i=i: x[i], batch)))
    return trajectories


def _trim(trajectory: Trajectory) -> Trajectory:
    """Cut a trajectory `STEPS_AFTER_SUCCESS` steps after its success."""
    done = np.flatnonzero(trajectory.success)
    end = len(trajectory.success) if not len(done) else done[0] + STEPS_AFTER_SUCCESS + 1
    return jax.tree.map(lambda x: x[:end], trajectory)


def render_frames(env: Env, geoms: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Images and masks of frames: geoms (N, G, 3), (N, G, 3, 3) -> schema name -> (N, H, W, .)."""
    count, parts = len(geoms[0]), []
    for first in range(0, count, FRAMES):
        index = np.minimum(np.arange(first, first + FRAMES), count - 1)
        parts.append(jax.tree.map(np.asarray, _painter(env)(tuple(g[index] for g in geoms))))
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
    geoms = tuple(np.concatenate([t.geoms[i] for t in trajectories]) for i in range(2))
    images = render_frames(env, geoms)
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
