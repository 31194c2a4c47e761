"""Where the masks of a source come from: stored, made by colour, or files of a segmenter."""

from collections.abc import Iterator, Mapping

import numpy as np

from glam_jax.errors import DataError
from glam_jax.own_data import frame_files, tracking
from glam_jax.own_data.images import check as check_images
from glam_jax.own_data.key_map import KeyMap, naming
from glam_jax.own_data.tracking import EMPTY, HELD, SEEN, Track

# What the objects of a view are called where they are not told apart.
TOGETHER = "objects"


def add(raw: dict[str, list[np.ndarray]], keys: KeyMap, split: str, episode: int) -> list[Track]:
    """Adds the masks that an episode does not store, as if it did.

    Args:
      raw: the episode's arrays by role, as of a reader; gains `mask_<view>`, (T, H, W) bool.
      keys: how the masks are had. split, episode: which one.

    Returns:
      The tracks of all objects whose masks were added.

    Raises:
      ValueError: images of another type or shape, or what `frame_files.read_masks` refuses.
    """
    tracks = []
    for view in sorted(keys.views):
        colours, folder = keys.mask_colours[view], keys.mask_folder[view]
        if not (colours or folder):
            continue
        images = raw[f"image_{view}"][0]
        with naming(keys.views[view]):
            check_images(images)
        if colours:
            masks, found = tracking.track(view, images, colours, keys.rate_hz, keys.mask_hold_s)
        else:
            place = frame_files.view_folder(folder, split, episode, view)
            masks = frame_files.read_masks(place, len(images), images.shape[1:3])
            found = [_track(view, masks)]
        raw[f"mask_{view}"] = [masks]
        tracks += found
    return tracks


def stored(raw: Mapping[str, list[np.ndarray]], keys: KeyMap) -> list[Track]:
    """The tracks of the masks that an episode stores."""
    return [_track(view, raw[f"mask_{view}"][0]) for view in sorted(keys.views) if keys.masks[view]]


def _track(view: str, masks: np.ndarray) -> Track:
    areas = (masks.reshape(len(masks), -1) > 0).mean(axis=1)
    return Track(view, TOGETHER, np.where(areas > 0, SEEN, EMPTY), areas)


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
