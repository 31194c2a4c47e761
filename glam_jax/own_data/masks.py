"""Where the masks of a source come from: stored, made by colour, or files of a segmenter."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from glam_jax.errors import DataError
from glam_jax.own_data import frame_files
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.selector import naming
from glam_jax.own_data.tracking import EMPTY, HELD, SEEN, Track, Tracker

# What the objects of a view are called where they are not told apart.
TOGETHER = "objects"


class ViewMasks:
    """The masks of one episode, step by step."""

    def __init__(self, keys: KeyMap, split: str, episode: int, lossy: Collection[str] = ()):
        """
        Args:
          keys: how the masks are had. split, episode: which one.
          lossy: keys whose pictures are compressed such that they blur.
        """
        self._keys, self._lossy = keys, lossy
        self._folders = {
            view: frame_files.view_folder(folder, split, episode, view)
            for view, folder in keys.mask_folder.items()
            if folder
        }
        self._trackers = {
            view: Tracker(view, colours, keys.rate_hz, keys.mask_hold_s)
            for view, colours in keys.mask_colours.items()
            if colours
        }
        self._areas: dict[str, list[float]] = {}

    def follows(self, view: str) -> bool:
        """Whether the masks of a view need to be asked for at every step."""
        return view in self._folders or view in self._trackers or bool(self._keys.masks[view])

    def next(
        self, view: str, step: int, arrays: Mapping[str, np.ndarray], picture: np.ndarray
    ) -> np.ndarray | None:
        """The mask (H, W) bool of a view in the next step; None where the view has none.

        Args:
          arrays: the step as stored. picture: the view's image, upright.

        Raises:
          ValueError: a mask of another form, or what `frame_files.read_mask` refuses.
        """
        if view in self._trackers:
            return self._trackers[view].next(picture)
        if view in self._folders:
            mask = frame_files.read_mask(self._folders[view], step, picture.shape[:2])
        elif key := self._keys.masks[view]:
            with naming(key):
                mask = self._stored(arrays[key], view, key)
        else:
            return None
        self._areas.setdefault(view, []).append(mask.mean())
        return mask

    def _stored(self, mask: np.ndarray, view: str, key: str) -> np.ndarray:
        """Above 0 in any channel, or above half where pictures blur."""
        form = self._keys.image_forms[view]
        if mask.ndim == 3:
            axis = 0 if form.channels == "first" and mask.shape[0] <= 4 else -1
            mask = mask.max(axis=axis)
        if mask.ndim != 2:
            raise ValueError(f"found {mask.dtype} {mask.shape}, expected (H, W) or (H, W, 1)")
        return form.placed(mask >= 128 if key in self._lossy else mask > 0)

    def tracks(self) -> list[Track]:
        """What became of the objects in the steps so far."""
        found = [track for tracker in self._trackers.values() for track in tracker.tracks()]
        for view, values in self._areas.items():
            areas = np.array(values)
            found.append(Track(view, TOGETHER, np.where(areas > 0, SEEN, EMPTY), areas))
        return sorted(found, key=lambda track: track.view)


class Tally:
    """What became of the objects in many episodes, as numbers and as warnings.

    Attributes:
      warnings: texts, each with its episode.
    """

    def __init__(self, rate_hz: float):
        self._rate_hz = rate_hz
        self._states: dict[tuple[str, str], list[np.ndarray]] = {}
        self.warnings: list[str] = []

    def note(self, place: str, tracks: list[Track]) -> None:
        """Adds the tracks of one episode; `place` is what to call it."""
        for one in tracks:
            self._states.setdefault((one.view, one.name), []).append(one.states)
            self.warnings += [f"{place}, {one.view}: {one.name} {t}" for t in self._faults(one)]

    def _faults(self, one: Track) -> Iterator[str]:
        seen = np.flatnonzero(one.states == SEEN)
        if not len(seen):
            yield f"not seen in any of {len(one.states)} steps"
            return
        empty = one.states == EMPTY
        if seen[0]:
            yield f"not seen before step {seen[0]}, {seen[0] / self._rate_hz:.1f} s"
        if lost := int(empty[seen[0] :].sum()):
            step = int(seen[0] + empty[seen[0] :].argmax())
            yield f"lost for {lost / self._rate_hz:.1f} s in all, first at step {step}"

    def rows(self) -> list[tuple[str, ...]]:
        """A table with a header: for each view and object, shares of steps, and episodes."""
        table = [("view", "object", "episodes", "steps", "seen", "held", "empty", "without")]
        for (view, name), states in self._states.items():
            joined = np.concatenate(states)
            shares = tuple(f"{np.mean(joined == state):.1%}" for state in (SEEN, HELD, EMPTY))
            counts = (str(len(states)), str(len(joined)))
            table.append((view, name, *counts, *shares, str(_without(states))))
        return table

    def refuse_unseen(self, place: str) -> None:
        """Raises DataError for an object that no episode shows."""
        for (view, name), states in self._states.items():
            if _without(states) == len(states):
                raise DataError(
                    f"{place}, {view}: {name} not seen in any of {len(states)} episodes; look at "
                    "its colour or masks with glam_jax.own_data masks"
                )


def _without(states: list[np.ndarray]) -> int:
    return sum(not (one == SEEN).any() for one in states)
