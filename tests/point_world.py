"""A world without physics, to test what is built around one: a point that reaches for a goal."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.schema import Layout
from glam_jax.sim.env import Sight

# Metres moved at most in a control step, and the distance that counts as reached.
STRIDE, REACHED = 0.04, 0.005


@dataclasses.dataclass(frozen=True)
class PointWorld:
    """Has what evaluation asks of an environment.

    The first three numbers of an action are the position to go to; proprio starts with the
    goal; the images are evenly filled with the position's x (front) and y (overhead), in
    steps of 1/255 m. Success is latched after two steps at the goal.
    """

    layout: Layout = Layout(arms=1, image_size=4, has_actions=True)
    action_dim: int = 8
    horizon: int = 22
    control_hz: int = 20

    @property
    def action_bounds(self):
        return np.full(8, -1e6, np.float32), np.full(8, 1e6, np.float32)

    def reset(self, key):
        start, goal = jax.random.uniform(key, (2, 3), minval=0.2, maxval=0.6)
        return {"position": start, "goal": goal, "held": jnp.int32(0), "success": jnp.bool_(False)}

    def step(self, state, action):
        way = action[:3] - state["position"]
        distance = jnp.linalg.norm(way)
        position = state["position"] + way * jnp.minimum(1.0, STRIDE / jnp.maximum(distance, 1e-9))
        there = jnp.linalg.norm(position - state["goal"]) < REACHED
        held = jnp.where(there, state["held"] + 1, 0)
        success = state["success"] | (held >= 2)
        return {**state, "position": position, "held": held, "success": success}

    def success(self, state):
        return state["success"]

    def ee_pose(self, state):
        return jnp.concatenate([state["position"], jnp.zeros(7)])

    def proprio(self, state):
        return jnp.concatenate([state["goal"], jnp.zeros(5)])

    def sight(self, state):
        places = jnp.stack([state["position"], state["goal"]])
        return Sight(places, jnp.tile(jnp.eye(3), (2, 1, 1)))

    def render(self, sight):
        side = self.layout.image_size
        level = jnp.clip(jnp.round(sight.geom_xpos[0] * 255), 0, 255).astype(jnp.uint8)
        return {
            "image_front": jnp.full((side, side, 3), level[0]),
            "image_overhead": jnp.full((side, side, 3), level[1]),
        }


def start_and_goal(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The start and the goal of an episode seed."""
    state = PointWorld().reset(jax.random.key(seed))
    return np.asarray(state["position"]), np.asarray(state["goal"])


def steps_to_reach(start: np.ndarray, goal: np.ndarray) -> int:
    """Control steps of a straight reach until success: arrival, and one more step of holding."""
    return int(np.ceil((np.linalg.norm(goal - start) - REACHED) / STRIDE)) + 1
