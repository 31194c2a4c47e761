"""One foreign episode to the schema: units, frames, rotation form, image size and rate."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from glam_jax.own_data import images, rotations
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.masks import ViewMasks
from glam_jax.own_data.poses import Poses, finite
from glam_jax.own_data.raw_episode import RawEpisode
from glam_jax.own_data.resample import Resampler, keeps
from glam_jax.own_data.selector import naming
from glam_jax.own_data.tracking import Track
from glam_jax.schema import Layout


@dataclasses.dataclass(frozen=True)
class Aim:
    """What all own sources of a run become.

    Attributes:
      layout: the target's arrays. rate_hz: steps per second. action_kind: see `key_map`.
    """

    layout: Layout
    rate_hz: float
    action_kind: str

    def layout_of(self, keys: KeyMap) -> Layout:
        """The arrays of one source; an auxiliary one has no actions."""
        return dataclasses.replace(
            self.layout, has_actions=keys.has_actions, views=tuple(keys.views)
        )


class Converter:
    """Converts the episodes of a source, and the observations that its policy is given.

    Attributes:
      keys: of the source. aim: what it becomes.
    """

    def __init__(self, keys: KeyMap, aim: Aim):
        """Raises DataError as `poses.Poses`."""
        self.keys, self.aim = keys, aim
        self._poses = Poses(keys)

    def episode(
        self, raw: RawEpisode, masks: ViewMasks
    ) -> tuple[dict[str, np.ndarray], list[Track]]:
        """All arrays of an episode as in `Layout.step_arrays`, and the tracks of its masks.

        Raises:
          ValueError: arrays of another shape than the key map says, or values that cannot be; names
            the key and the step.
        """
        numbers: dict[str, list] = {path: [] for path in self._number_paths()}
        kept: dict[int, dict[str, np.ndarray]] = {}
        length = 0
        for step, arrays in enumerate(raw.steps):
            for path, rows in numbers.items():
                rows.append(np.ravel(arrays[path]))
            small = self._pictures(
                arrays, masks, step, keeps(step, self.keys.rate_hz, self.aim.rate_hz)
            )
            if small:
                kept[step] = small
            length = step + 1
        joined = {path: _stacked(path, rows) for path, rows in numbers.items()}
        made = self._resampled(joined, length, kept)
        return made, masks.tracks()

    def observation(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One observation: `image_<view>`, `ee_pose` and, of a target, `proprio`.

        Args:
          arrays: key -> array as stored, of all keys but those of actions and masks.

        Raises:
          ValueError: see `episode`.
        """
        found = {}
        for view, key in self.keys.views.items():
            with naming(key):
                found[f"image_{view}"] = self._square(
                    self.keys.image_forms[view].picture(arrays[key])
                )
        rows = {
            path: np.ravel(arrays[path])[None] for path in self._number_paths() if path in arrays
        }
        arms = []
        for position, turned, opening in _by_arm(self._poses.read(rows, self.aim.layout.arms)):
            arms += [position, rotations.six(turned), opening]
        found["ee_pose"] = np.concatenate(arms, axis=1)[0].astype(np.float32)
        if self.keys.has_actions:
            found["proprio"] = self._linear("proprio", self._joined("proprio", rows))[0]
        return found

    def stored_actions(
        self, actions: np.ndarray, sizes: Mapping[str, int]
    ) -> dict[str, np.ndarray]:
        """Actions (K, A) in the run's units as they were stored: key -> (K, n).

        The inverse of what `episode` does to the numbers of actions.

        Args:
          actions: in the run's units. sizes: key -> numbers a step that it has as stored.
        """
        keys, arrays = self.keys, {}
        scale, offset = (np.asarray(getattr(keys, f"action_{n}")) for n in ("scale", "offset"))
        stored, at = (np.asarray(actions, np.float64) - offset) / scale, 0
        for selector in keys.numbers["action"]:
            width = selector.width(sizes)
            selector.put(stored[:, at : at + width], arrays, sizes)
            at += width
        return {path: values.astype(np.float32) for path, values in arrays.items()}

    def _number_paths(self) -> list[str]:
        selectors = (s for found in self.keys.numbers.values() for s in found)
        return list(dict.fromkeys(path for selector in selectors for path in selector.paths))

    def _square(self, picture: np.ndarray) -> np.ndarray:
        return images.square(picture, self.aim.layout.image_size, self.keys.fit)

    def _pictures(
        self, arrays: Mapping, masks: ViewMasks, step: int, wanted: bool
    ) -> dict[str, np.ndarray]:
        """Images and masks of a step in their final size, if it is wanted; masks are followed
        through every step."""
        small, side, fit = {}, self.aim.layout.image_size, self.keys.fit
        for view, key in self.keys.views.items():
            followed = masks.follows(view)
            if not (wanted or followed):
                continue
            with naming(key):
                picture = self.keys.image_forms[view].picture(arrays[key])
            mask = masks.next(view, step, arrays, picture)
            if wanted:
                small[f"image_{view}"] = self._square(picture)
                small[f"mask_{view}"] = (
                    np.zeros((side, side, 1), np.uint8)
                    if mask is None
                    else images.square_mask(mask, side, fit)
                )
        return small

    def _resampled(self, numbers: dict, length: int, kept: dict) -> dict[str, np.ndarray]:
        """The arrays of an episode at the run's rate, from numbers (T, n) and pictures by step."""
        keys, aim = self.keys, self.aim
        late = 1 if keys.alignment == "ars" else 0  # steps by which actions come late
        action = {p: a[late:] for p, a in numbers.items()}
        numbers = {p: a[: length - late] for p, a in numbers.items()}
        at = Resampler(length - late, keys.rate_hz, aim.rate_hz)
        steps = {
            name: np.stack([kept[step][name] for step in at.nearest()])
            for name in next(iter(kept.values()))
        }
        arms = []
        for position, turned, opening in _by_arm(self._poses.read(numbers, aim.layout.arms)):
            six = rotations.six(at.rotations(turned))
            arms += [at.continuous(position), six, at.continuous(opening)]
        steps["ee_pose"] = np.concatenate(arms, axis=1).astype(np.float32)
        if keys.has_actions:
            steps["proprio"] = self._linear(
                "proprio", at.continuous(self._joined("proprio", numbers))
            )
            steps["action"] = self._linear("action", self._actions(action, at))
        return steps

    def _actions(self, arrays: dict, at: Resampler) -> np.ndarray:
        """Actions (T', A) as stored. That of the last step starts no transition: whatever it is,
        nothing learns from it."""
        joined = self._joined("action", arrays, finite_to=-1)
        if not np.isfinite(joined[-1]).all():
            joined[-1] = joined[-2]
        if self.aim.action_kind == "pose_delta":
            return at.increments(joined, self.aim.layout.arms)
        return at.commands(joined)

    def _joined(self, role: str, arrays: Mapping, finite_to: int | None = None) -> np.ndarray:
        """The numbers (T, n) of a role, float64, finite up to a step."""
        selectors = self.keys.numbers[role]
        wanted = getattr(self.aim.layout, f"{role}_dim")
        with naming(", ".join(selector.text for selector in selectors)):
            joined = np.concatenate([s.pick(arrays) for s in selectors], axis=1).astype(np.float64)
            if joined.shape[1] != wanted:
                raise ValueError(f"found {joined.shape[1]} numbers a step, expected {wanted}")
            finite(joined[:finite_to])
        return joined

    def _linear(self, role: str, values: np.ndarray) -> np.ndarray:
        """stored * scale + offset, float32."""
        linear, width = {}, values.shape[1]
        for name in ("scale", "offset"):
            linear[name] = np.asarray(getattr(self.keys, f"{role}_{name}"), np.float64)
            if len(linear[name]) not in (1, width):
                raise ValueError(
                    f"{role}_{name} has {len(linear[name])} numbers, expected 1 or {width}"
                )
        return (values * linear["scale"] + linear["offset"]).astype(np.float32)


def _by_arm(parts: list) -> list[tuple]:
    """[position, rotation, opening, position, ...] as one tuple for each arm."""
    return list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))


def _stacked(path: str, rows: list[np.ndarray]) -> np.ndarray:
    with naming(path):
        if len(sizes := {len(row) for row in rows}) > 1:
            raise ValueError(f"steps have {sorted(sizes)} numbers, expected as many in each")
        return np.stack(rows)
