"""One foreign episode to the schema: units, frames, rotation form, image size and rate."""

import dataclasses
import functools

import chex
import numpy as np
from scipy.spatial.transform import Rotation

from glam_jax.own_data import images, rotations
from glam_jax.own_data.key_map import METRES, KeyMap, naming
from glam_jax.own_data.resample import Resampler
from glam_jax.schema import Layout


@dataclasses.dataclass(frozen=True)
class Aim:
    """What all own sources of a run become.

    Attributes:
      layout: the target's arrays. rate_hz: steps per second. action_kind: see `keymap`.
    """

    layout: Layout
    rate_hz: float
    action_kind: str

    def layout_of(self, keys: KeyMap) -> Layout:
        """The arrays of one source; an auxiliary one has no actions."""
        return dataclasses.replace(self.layout, has_actions=keys.has_actions)


def convert(raw: dict[str, list[np.ndarray]], keys: KeyMap, aim: Aim) -> dict[str, np.ndarray]:
    """Arrays by role, as `rlds_reader` gives them, to arrays as in `Layout.step_arrays`.

    Raises:
      ValueError: arrays of another shape than the key map says, or values that cannot be; names
        the key.
    """
    length = len(raw["position"][0])
    at = Resampler(length, keys.rate_hz, aim.rate_hz)
    steps, side = {}, aim.layout.image_size
    for view in aim.layout.views:
        for name, key, channels, resize in (
            (f"image_{view}", keys.views[view], 3, images.square),
            (f"mask_{view}", keys.masks[view], 1, images.square_masks),
        ):
            if name in raw:
                with naming(key):
                    steps[name] = resize(at.nearest(raw[name][0]), side, keys.fit)
            else:
                steps[name] = np.zeros((at.count, side, side, channels), np.uint8)
    steps["ee_pose"] = _poses(raw, keys, at)
    chex.assert_shape(steps["ee_pose"], (at.count, aim.layout.ee_dim))
    if keys.has_actions:
        steps["proprio"] = _scaled(raw, keys, "proprio", aim.layout.proprio_dim, at.continuous)
        resample = at.commands
        if aim.action_kind == "pose_delta":
            resample = functools.partial(at.increments, arms=aim.layout.arms)
        steps["action"] = _scaled(raw, keys, "action", aim.layout.action_dim, resample)
    return steps


def _poses(raw: dict, keys: KeyMap, at: Resampler) -> np.ndarray:
    """End-effector poses (T', E) in the workspace's frame, arm after arm, float32."""
    base = Rotation.from_quat(keys.base_rotation).as_matrix()
    arms = []
    for arm in range(len(keys.position)):
        position, rotation, gripper = (raw[k][arm] for k in ("position", "rotation", "gripper"))
        with naming(keys.position[arm]):
            position = _columns(position, 3) * METRES[keys.position_unit]
        with naming(keys.gripper[arm]):
            opening = _columns(gripper, 1)
        with naming(keys.rotation[arm]):
            turned = rotations.matrices(rotation, keys.rotation_form, keys.angle_unit)
        point = position + turned @ np.asarray(keys.tool_offset)
        placed = point @ base.T + np.asarray(keys.base_position)
        span = keys.gripper_open - keys.gripper_closed
        opening = np.clip((opening - keys.gripper_closed) / span, 0.0, 1.0)
        arms += [
            at.continuous(placed),
            rotations.six(at.rotations(base @ turned)),
            at.continuous(opening),
        ]
    return np.concatenate(arms, axis=1).astype(np.float32)


def _columns(values: np.ndarray, expected: int) -> np.ndarray:
    """Values as (T, expected) float64; raises ValueError for another width or NaN."""
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    if flat.shape[1] != expected:
        raise ValueError(f"found {flat.shape[1]} numbers a step, expected {expected}")
    if not (finite := np.isfinite(flat).all(axis=1)).all():
        step = int(np.flatnonzero(~finite)[0])
        raise ValueError(f"step {step}: found {flat[step].tolist()}, expected finite numbers")
    return flat


def _scaled(raw: dict, keys: KeyMap, role: str, width: int, resample) -> np.ndarray:
    """Joined, resampled and scaled numbers of a role, (T', width) float32."""
    linear = {}
    for name in ("scale", "offset"):
        linear[name] = np.asarray(getattr(keys, f"{role}_{name}"), np.float64)
        if len(linear[name]) not in (1, width):
            raise ValueError(
                f"{role}_{name} has {len(linear[name])} numbers, expected 1 or {width}"
            )
    with naming(", ".join(getattr(keys, role))):
        joined = np.concatenate([a.reshape(len(a), -1) for a in raw[role]], axis=1)
        values = resample(_columns(joined, width))
    return (values * linear["scale"] + linear["offset"]).astype(np.float32)
