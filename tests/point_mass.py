"""A point mass in numpy behind gymnasium's functions, and a policy that brings it to its goal."""

import functools

import numpy as np

from glam_jax.serve import border
from glam_jax.serve.actions import Receding
from glam_jax.serve.limits import Limits
from glam_jax.serve.session import Service

STRIDE, REACHED = 0.1, 0.01  # m moved in a control step at most, m from the goal
EXECUTE, RATE = 3, 20.0
SPEC = {
    "proprio": ((2,), np.dtype(np.float32)),
    "state/goal": ((2,), np.dtype(np.float32)),
    "image_front": ((4, 6, 3), np.dtype(np.uint8)),
}


class PointMass:
    """Actions (2,) are where to go, m. `info` tells success; the horizon truncates."""

    def __init__(self, horizon=20, key="success", lacks=(), broken_after=None):
        self.horizon, self.key, self.lacks = horizon, key, lacks
        self.left = broken_after  # steps until the keyboard interrupts
        self.seeds = []

    def reset(self, seed=None):
        self.seeds.append(seed)
        random = np.random.default_rng(seed)
        self.position, self.goal = random.uniform(-1, 1, (2, 2))
        self.steps = 0
        return self.observe(), {}

    def step(self, action):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        assert action.shape == (2,) and action.dtype == np.float32
        self.position = self.position + np.clip(action - self.position, -STRIDE, STRIDE)
        action[:] = np.nan  # The environment may use its action up.
        self.steps += 1
        there = bool(np.abs(self.position - self.goal).max() < REACHED)
        return self.observe(), 0.0, False, self.steps >= self.horizon, {self.key: there}

    def observe(self):
        state = {"goal": self.goal, "other": 1.0}
        seen = {"image_front": self.render(), "proprio": self.position, "state": state}
        return {name: value for name, value in seen.items() if name not in self.lacks}

    def render(self):
        level = np.clip(128 + 100 * self.position[0], 0, 255)
        return np.full((4, 6, 3), level, np.uint8)

    def close(self):
        self.seeds.append("closed")


class OldPointMass:
    """The same behind what gym had first: `seed`, and tuples of one and four."""

    def __init__(self):
        self.inner, self.chosen = PointMass(), None

    def seed(self, seed):
        self.chosen = seed

    def reset(self):
        return self.inner.reset(seed=self.chosen)[0]

    def step(self, action):
        seen, reward, terminated, truncated, info = self.inner.step(action)
        return seen, reward, terminated or truncated, info


def policy(seen):
    """(K, A): the goal, which is out of the limits for some seeds."""
    return np.tile(seen["state/goal"], (6, 1))


def service(**changes):
    """A service of the policy; `changes` are of its metadata."""
    low, high = np.full(2, -0.8, np.float32), np.full(2, 0.8, np.float32)
    return Service(
        read=functools.partial(border.check, spec=SPEC),
        policy=policy,
        measured=lambda seen: seen["proprio"],
        limits=Limits(low, high, np.full(2, np.inf, np.float32)),
        make_execution=functools.partial(Receding, EXECUTE),
        forget_s=100.0,
        metadata={
            "observation": {k: {"shape": s, "dtype": str(d)} for k, (s, d) in SPEC.items()},
            "action_dim": 2,
            "action_low": low,
            "action_high": high,
            "control_hz": RATE,
            **changes,
        },
    )


def expected(seed, horizon=20):
    """Success and steps of a seed."""
    random = np.random.default_rng(seed)
    position, goal = random.uniform(-1, 1, (2, 2))
    target = np.clip(goal, -0.8, 0.8)
    if np.abs(target - goal).max() >= REACHED:
        return False, horizon
    way = np.abs(target - position).max()
    steps = max(1, int(np.ceil((way - REACHED) / STRIDE)))
    return steps <= horizon, min(steps, horizon)
