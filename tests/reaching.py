"""Episodes without physics: a dot that is carried from a start to a goal, seen by two cameras."""

import numpy as np

from glam_jax import schema

SIDE, LENGTH = 16, 20
TARGET = schema.Layout(arms=1, image_size=SIDE, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=SIDE, has_actions=False)
LOW, HIGH = 0.2, 0.6  # metres that a camera sees, from one edge to the other
DOT = 4.0  # deviation of the dot's brightness, pixels: soft, so that small networks learn it


def episode(layout: schema.Layout, seed: int, swings: bool = False) -> schema.Episode:
    """A straight reach that slows down towards its goal; actions are the next position, as joints.

    The front camera sees x and y, the one overhead y and z. The same seed is the same reach. One
    that `swings` is of another task: to the goal and back, faster, again and again.
    """
    rng = np.random.default_rng(seed)
    start, goal = rng.uniform(LOW, HIGH, (2, 3))
    time = np.arange(LENGTH + 1)
    way = 0.5 - 0.5 * np.cos(time) if swings else 1.0 - np.exp(-time / 6.0)
    position = (start + way[:, None] * (goal - start)).astype(np.float32)
    here, following = position[:-1], position[1:]
    steps = {
        "image_front": _dot(here[:, 0], here[:, 1]),
        "image_overhead": _dot(here[:, 1], here[:, 2]),
        "ee_pose": np.pad(here, ((0, 0), (0, 7))),
    }
    for view in schema.VIEWS:
        steps[f"mask_{view}"] = (steps[f"image_{view}"][..., :1] > 127).astype(np.uint8)
    if layout.has_actions:
        steps["proprio"] = np.pad(here, ((0, 0), (0, 5)))
        steps["action"] = np.pad(following, ((0, 0), (0, 5)))
    source = "kinova" if layout.has_actions else "umi"
    return schema.Episode(steps, "lifting", source, seed, True, "none")


def _dot(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Pictures (T, H, W, 3) of a bright dot at (T,) places in metres."""
    pixel = np.arange(SIDE)
    column, row = ((x - LOW) / (HIGH - LOW) * (SIDE - 1) for x in (across, down))
    off = (pixel - column[:, None])[:, None, :] ** 2 + (pixel - row[:, None])[:, :, None] ** 2
    light = np.round(255 * np.exp(-off / (2 * DOT**2))).astype(np.uint8)
    return np.repeat(light[..., None], 3, axis=-1)
