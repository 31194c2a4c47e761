"""The simulated tasks as a `gymnasium.vector.VectorEnv`; needs the extra `gym`.

pip install -e '.[gym]'

>>> from glam_jax.sim.vector_env import TaskVectorEnv         # doctest: +SKIP
>>> envs = TaskVectorEnv("lifting", "kinova", num_envs=8)     # doctest: +SKIP
>>> seen, _ = envs.reset(seed=1_000_000)                      # doctest: +SKIP
>>> seen, reward, terminated, truncated, info = envs.step(actions)   # doctest: +SKIP
"""

import functools
from collections.abc import Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from glam_jax.sim.env import Env, EnvState, make_env, simulation_options

SEEDS = 2**32


class TaskVectorEnv(VectorEnv):
    """N worlds of a task, stepped together by one compiled function.

    Observations are what a trained policy takes: `image_<view>` (N, H, W, 3) uint8, such as
    `image_front`, `ee_pose` (N, E) and, if the robot has joint actions, `proprio` (N, S). Actions
    are (N, A) in rad and gripper command (a target pose on the UMI gripper), clipped to the robot's
    bounds; each is held for 1 / control_hz s. The reward is 1 in the step in which the task is
    done, which ends the episode, and 0 before; at the task's horizon an episode is truncated.
    Worlds that ended are reset by the next step, which ignores their action (NEXT_STEP).

    The start of an episode follows from its seed alone, as in `evaluation.rollout`.
    """

    def __init__(self, task: str, robot: str = "kinova", num_envs: int = 1, image_size: int = 64):
        """
        Raises:
          ValueError: unknown task or robot, or sizes that are not positive.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; expected at least 1")
        self._env = env = make_env(task, robot, image_size)
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_fps": env.control_hz}
        self.single_observation_space = _observation_space(env)
        low, high = env.action_bounds
        self.single_action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: EnvState | None = None
        self._done = np.zeros(num_envs, bool)
        self._next_seeds: list[np.random.Generator] = []

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begins an episode in every world.

        Args:
          seed: an int s for the seeds s, s + 1, ...; one seed a world; or None to go on.
          options: not used.

        Raises:
          ValueError: seeds that are not one a world, or outside of 0 to 2^32 - 1.
        """
        seeds = None if seed is None else self._checked(seed)
        super().reset(seed=seed if isinstance(seed, int) else None, options=options)
        if seeds is None:
            if not self._next_seeds:
                self._follow(np.random.SeedSequence().generate_state(self.num_envs))
            seeds = self._draw_seeds(np.ones(self.num_envs, bool))
        else:
            self._follow(seeds)
        self._state = _compiled_reset(self._env)(seeds)
        self._done[:] = False
        return self._seen(), {"seed": seeds, "_seed": np.ones(self.num_envs, bool)}

    def step(self, actions: np.ndarray):
        """Holds actions (N, A) for one control step; see the class.

        Raises:
          ValueError: actions of another shape, or not finite.
          RuntimeError: before the first `reset`.
        """
        if self._state is None:
            raise RuntimeError("step was called before reset")
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_space.shape or not np.isfinite(actions).all():
            raise ValueError(
                f"actions: found shape {actions.shape}; expected {self.action_space.shape}, finite"
            )
        begins, state = self._done.copy(), _compiled_step(self._env)(self._state, actions)
        if begins.any():
            seeds = self._draw_seeds(begins)
            state = _pick(begins, _compiled_reset(self._env)(seeds), state)
        self._state = state
        success = np.array(state.success)
        truncated = (np.asarray(state.step) >= self._env.horizon) & ~success
        self._done = success | truncated
        info = {"success": success, "_success": np.ones(self.num_envs, bool)}
        if begins.any():
            info |= {"seed": seeds, "_seed": begins}
        return self._seen(), success.astype(np.float64), success.copy(), truncated, info

    def _seen(self) -> dict[str, np.ndarray]:
        return {k: np.array(v) for k, v in _compiled_observe(self._env)(self._state).items()}

    def _checked(self, seed: int | Sequence[int]) -> np.ndarray:
        given = np.asarray(seed)
        given = given + np.arange(self.num_envs) if given.ndim == 0 else given
        whole = given.dtype.kind in "iu" and given.shape == (self.num_envs,)
        if not whole or given.min() < 0 or given.max() >= SEEDS:
            raise ValueError(f"seed is {seed!r:.60}; expected {self.num_envs}, from 0 to 2**32 - 1")
        return given.astype(np.uint32)

    def _follow(self, seeds: np.ndarray) -> None:
        """Each world's later episodes follow from its first seed."""
        self._next_seeds = [np.random.default_rng(int(seed)) for seed in seeds]

    def _draw_seeds(self, wanted: np.ndarray) -> np.ndarray:
        """A new seed for each world that wants one, 0 for the others: (N,) uint32."""
        drawn = np.zeros(self.num_envs, np.uint32)
        for i in np.flatnonzero(wanted):
            drawn[i] = self._next_seeds[i].integers(SEEDS)
        return drawn


def _observation_space(env: Env) -> gymnasium.spaces.Dict:
    spaces = {}
    for name, (shape, dtype) in env.layout.step_arrays().items():
        if name.startswith("image"):
            spaces[name] = gymnasium.spaces.Box(0, 255, shape, dtype)
        elif name in ("ee_pose", "proprio"):
            spaces[name] = gymnasium.spaces.Box(-np.inf, np.inf, shape, dtype)
    return gymnasium.spaces.Dict(spaces)


# Apart, and not one function of a step, so that each is compiled once; resets are rare.


@functools.lru_cache(maxsize=8)
def _compiled_reset(env: Env):
    """seeds (N,) -> states."""
    reset = jax.vmap(lambda seed: env.reset(jax.random.key(seed)))
    return jax.jit(reset, compiler_options=simulation_options())


@functools.lru_cache(maxsize=8)
def _compiled_step(env: Env):
    """states, actions (N, A) -> states."""
    return jax.jit(jax.vmap(env.step), compiler_options=simulation_options())


@functools.lru_cache(maxsize=8)
def _compiled_observe(env: Env):
    """states -> observations by name, (N, ...)."""

    def observe(state):
        return {k: v for k, v in env.observe(state).items() if not k.startswith("mask")}

    return jax.jit(jax.vmap(observe), compiler_options=simulation_options())


@jax.jit
def _pick(begins: jax.Array, fresh: EnvState, old: EnvState) -> EnvState:
    """The fresh state in the worlds that begin, the old one in the others."""

    def pick(new, kept):
        return jnp.where(begins.reshape(-1, *[1] * (kept.ndim - 1)), new, kept)

    return jax.tree.map(pick, fresh, old)
