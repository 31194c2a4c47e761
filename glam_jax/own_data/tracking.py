"""Objects followed by their colour through an episode, and through what covers them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from glam_jax.own_data.colours import Colour

# What the mask of an object is in a step: seen there, kept from the last step that saw it, or
# empty because it has not been seen yet or not for too long.
EMPTY, HELD, SEEN = 0, 1, 2
# How far an object may have moved when its parts do not overlap its last mask: of the longer side
# of the picture, and more for every second in which it was not seen.
_REACH, _REACH_PER_S = 0.1, 0.5
_EIGHT = np.ones((3, 3), int)  # pixels that touch at a corner are one part


@dataclasses.dataclass(frozen=True)
class Track:
    """What became of one object in one view of an episode.

    Attributes:
      view, name: which one.
      states: (T,) of `EMPTY`, `HELD` and `SEEN`.
      areas: (T,) share of the picture in its mask, 0 to 1.
    """

    view: str
    name: str
    states: np.ndarray
    areas: np.ndarray


class Tracker:
    """Follows the objects of one view by their colours, image by image.

    In every step the pixels of an object's colour fall into connected parts; those whose area is
    outside `Colour.area` are dropped. An object is then, in this order,

    1. the part that overlaps its last mask most, with the other parts that overlap it no further
       away than the object is wide, for a finger may cut it in two;
    2. else the part whose centre is nearest to its last one, within a tenth of the picture and
       half a picture more for every second since;
    3. else, if it has no last mask, the largest part.

    A part belongs to one object; of those that want it by the same rule, the first one named has
    it. Holes are filled. An object with no part keeps its last mask, in place, for at most
    `hold_s`: something covers it. After that it is empty, and is found again by rule 3.
    """

    def __init__(self, view: str, colours: Mapping[str, Colour], rate_hz: float, hold_s: float):
        """
        Args:
          view: for the tracks. colours: object -> its colour. rate_hz: of the images. hold_s: s.
        """
        self._view, self._rate_hz = view, rate_hz
        self._objects = {name: _Object(colour) for name, colour in colours.items()}
        self._states: dict[str, list[int]] = {name: [] for name in colours}
        self._areas: dict[str, list[float]] = {name: [] for name in colours}
        self._hold_steps = int(hold_s * rate_hz + 1e-6)

    def next(self, image: np.ndarray) -> np.ndarray:
        """The mask (H, W) bool of all objects in the next image, (H, W, 3) uint8."""
        states = _step(self._objects, image, self._rate_hz, self._hold_steps)
        mask = np.zeros(image.shape[:2], bool)
        for name, state in states.items():
            found = self._objects[name].mask if state != EMPTY else None
            self._states[name].append(state)
            self._areas[name].append(0.0 if found is None else found.mean())
            if found is not None:
                mask |= found
        return mask

    def tracks(self) -> list[Track]:
        """What became of each object so far."""
        return [
            Track(self._view, name, np.array(states, np.uint8), np.array(self._areas[name]))
            for name, states in self._states.items()
        ]


def _step(objects: dict, image: np.ndarray, rate_hz: float, hold_steps: int) -> dict[str, int]:
    """Moves every object on to the next image; returns their states."""
    parts = {name: _Parts(one.colour, image) for name, one in objects.items()}
    lost = {name for name, one in objects.items() if one.mask is None}
    taken, states = np.zeros(image.shape[:2], bool), {}
    for rule in (_overlapping, _nearby, _largest):
        for name, one in objects.items():
            free = parts[name].free(taken)
            if name in states or (name in lost) != (rule is _largest) or not len(free):
                continue
            chosen = rule(one, parts[name], free, rate_hz)
            if len(chosen):
                one.see(parts[name].mask(chosen))
                taken |= one.mask
                states[name] = SEEN
    for name, one in objects.items():
        if name not in states:
            states[name] = one.miss(hold_steps)
    return states


class _Object:
    """Where an object was last.

    Attributes:
      colour: its own. mask: (H, W) bool, None before it is seen and after it is lost.
      centre: (2,) row and column of the mask's centre. missing: steps since then.
    """

    def __init__(self, colour: Colour):
        self.colour, self.mask, self.centre, self.missing = colour, None, None, 0

    def see(self, mask: np.ndarray) -> None:
        centre = np.mean(np.nonzero(mask), axis=1)
        self.mask, self.centre, self.missing = mask, centre, 0

    def miss(self, hold_steps: int) -> int:
        self.missing += 1
        if self.missing > hold_steps:
            self.mask = None
        return EMPTY if self.mask is None else HELD


class _Parts:
    """Connected parts of the pixels of one colour in an image, of plausible area.

    Attributes:
      labels: (H, W), 0 where there is none. areas: (N + 1,) pixels by label.
      names: labels of the plausible parts.
    """

    def __init__(self, colour: Colour, image: np.ndarray):
        self.labels, _ = ndimage.label(colour.matches(image), _EIGHT)
        self.areas = np.bincount(self.labels.ravel())
        low, high = np.multiply(colour.area, self.labels.size)
        plausible = (self.areas >= low - 1e-6) & (self.areas <= high + 1e-6)
        plausible[0] = False
        self.names = np.flatnonzero(plausible)

    def free(self, taken: np.ndarray) -> np.ndarray:
        """Labels of the parts that no other object has."""
        if not taken.any():
            return self.names
        return np.setdiff1d(self.names, self.labels[taken])

    def centres(self, names: np.ndarray) -> np.ndarray:
        """(n, 2) row and column of parts' centres."""
        found = ndimage.center_of_mass(self.labels > 0, self.labels, names)
        return np.reshape(found, (-1, 2))

    def mask(self, names: np.ndarray) -> np.ndarray:
        """(H, W) bool of parts together, holes filled."""
        wanted = np.zeros(len(self.areas), bool)
        wanted[names] = True
        mask = wanted[self.labels]
        (box,) = ndimage.find_objects(mask.astype(np.uint8))
        mask[box] = ndimage.binary_fill_holes(mask[box])
        return mask


def _overlapping(one: _Object, parts: _Parts, free: np.ndarray, rate_hz: float) -> np.ndarray:
    """The part that overlaps the last mask most, and others that do and are near."""
    shared = np.bincount(parts.labels[one.mask], minlength=len(parts.areas))[free]
    free, shared = free[shared > 0], shared[shared > 0]
    if len(free) < 2:
        return free
    centres = parts.centres(free)
    away = np.linalg.norm(centres - centres[shared.argmax()], axis=1)
    wide = 2 * np.sqrt(one.mask.sum() / np.pi)  # the diameter of a disc of its area
    return free[away <= wide]


def _nearby(one: _Object, parts: _Parts, free: np.ndarray, rate_hz: float) -> np.ndarray:
    """The part nearest to the last place, within reach."""
    away = np.linalg.norm(parts.centres(free) - one.centre, axis=1)
    reach = _REACH + _REACH_PER_S * one.missing / rate_hz
    nearest = away.argmin()
    return free[[nearest]] if away[nearest] <= reach * max(parts.labels.shape) else free[:0]


def _largest(one: _Object, parts: _Parts, free: np.ndarray, rate_hz: float) -> np.ndarray:
    """The largest part, for an object that is nowhere yet."""
    return free[[parts.areas[free].argmax()]]
