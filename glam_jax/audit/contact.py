"""Where hands are when they take hold of an object: whether two sources mean the same by a pose.

The commonest mistake of own data is a pose of another point of the hand, or an opening that counts
the other way. Nothing in the motion tells, for both are consistent within the source. The object
tells: when a hand has closed on it, it lies between the fingers, whoever the hand belongs to.

Of every arm's first grasp, from its closing until it has gone `CARRIED` away, the pixels that the
masks lose are where the object was. From their middles u in all views that see it, a polynomial

    p(u) = a_0 + A u (+ second order terms, where there are grasps enough)

tells where the hand is. It is fitted to the target's training episodes, and stands for cameras of
which nothing else is known. How far from p(u) the hands of a source are is the gate; that of the
target's own held-out episodes is how well the fit does.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from glam_jax.schema import EE_DIM, Episode

CARRIED = 0.05  # m that a hand goes before what it left behind is looked at
CLOSED = 0.25  # share of an episode's range of openings, above the least, that counts as closed
LEAST_RANGE = 0.05  # of openings, below which a hand does not grasp
LEAST_PIXELS = 4  # that a view must lose
SEEN = 0.9  # share of the target's grasps that a view must see to be used
ROWS = 3  # grasps for each coefficient of a fit


@dataclasses.dataclass(frozen=True)
class Grasp:
    """A hand that has just closed on an object.

    Attributes:
      arm: 0 or 1. position: (3,) m, of the hand. opening: of the closed hand.
      middle: (V, 2) of the object in each view, row and column as a share of the side; nan where
        a view does not show it.
    """

    arm: int
    position: np.ndarray
    opening: float
    middle: np.ndarray


@dataclasses.dataclass(frozen=True)
class Contact:
    """Hands at grasps, of (source, target's held-out episodes).

    Attributes:
      offset_mm: median distance of hands from where the object says that they are; nan if less
        than half of the episodes show it.
      opening: mean of the closed hands; nan likewise.
      seen: how many grasps were looked at.
    """

    offset_mm: tuple[float, float]
    opening: tuple[float, float]
    seen: tuple[int, int]


def compare(
    train: Sequence[Episode], heldout: Sequence[Episode], source: Sequence[Episode]
) -> Contact | None:
    """Hands of a source at grasps against those of the target.

    Args:
      train: episodes of the target to fit. heldout: others of it.

    Returns:
      None where the target's episodes of either kind show too few grasps, as where nothing is
      grasped, or where there are no masks.
    """
    fits = {
        arm: fit
        for arm in range(train[0].steps["ee_pose"].shape[1] // EE_DIM)
        if (fit := _fit([g for e in train for g in grasps(e) if g.arm == arm]))
    }
    if not fits:
        return None
    measured = []
    for episodes in (source, heldout):
        found = [g for e in episodes for g in grasps(e) if g.arm in fits]
        offsets = np.array([fits[g.arm].offset(g) for g in found])
        seen = np.isfinite(offsets)
        known = seen.sum() >= 0.5 * len(episodes)
        offset = 1000.0 * float(np.median(offsets[seen])) if known else np.nan
        opening = float(np.mean([g.opening for g in found])) if known else np.nan
        measured.append((offset, opening, int(seen.sum())))
    if np.isnan(measured[1][0]):
        return None
    return Contact(*zip(*measured, strict=True))


@dataclasses.dataclass(frozen=True)
class _Fit:
    """p(u): `views` of which u is made, `degree` 1 or 2, coefficients (N, 3)."""

    views: np.ndarray
    degree: int
    coefficients: np.ndarray

    def offset(self, grasp: Grasp) -> float:
        """Distance of the hand from p(u) in m, nan where a view does not see the object."""
        terms = _terms(grasp.middle[None, self.views], self.degree)
        return float(np.linalg.norm(grasp.position - (terms @ self.coefficients)[0]))


def _fit(found: Sequence[Grasp]) -> _Fit | None:
    """The fit to grasps of one arm; None if too few are seen."""
    if not found:
        return None
    middles = np.stack([grasp.middle for grasp in found])
    views = np.flatnonzero(np.isfinite(middles[..., 0]).mean(axis=0) >= SEEN)
    seen = np.isfinite(middles[:, views]).all(axis=(1, 2))
    positions = np.stack([grasp.position for grasp in found])[seen]
    for degree in (2, 1):
        terms = _terms(middles[seen][:, views], degree)
        if len(views) and len(terms) >= ROWS * terms.shape[1]:
            return _Fit(views, degree, np.linalg.lstsq(terms, positions, rcond=None)[0])
    return None


def _terms(middles_BxVx2: np.ndarray, degree: int) -> np.ndarray:
    """Terms of the polynomial, (B, N)."""
    u = middles_BxVx2.reshape(len(middles_BxVx2), -1) - 0.5
    first, second = np.triu_indices(u.shape[1])
    squares = [u[:, first] * u[:, second]] if degree == 2 else []
    return np.concatenate([np.ones((len(u), 1)), u, *squares], axis=1)


def grasps(episode: Episode) -> list[Grasp]:
    """The first grasp of each arm that makes one."""
    poses = episode.steps["ee_pose"].reshape(len(episode), -1, EE_DIM)
    return [
        found for arm in range(poses.shape[1]) if (found := _first(episode, arm, poses[:, arm]))
    ]


def _first(episode: Episode, arm: int, pose: np.ndarray) -> Grasp | None:
    opening = pose[:, 9]
    spread = np.ptp(opening)
    if spread < LEAST_RANGE:
        return None
    closed = opening < opening.min() + CLOSED * spread
    # From open to closed; and closed still after the object was carried.
    for start in 1 + np.flatnonzero(closed[1:] & ~closed[:-1]):
        gone = np.linalg.norm(pose[start:, :3] - pose[start, :3], axis=-1) > CARRIED
        end = start + int(np.argmax(gone))
        if gone.any() and closed[start : end + 1].all():
            masks = (episode.steps[f"mask_{view}"] for view in episode.views)
            middle = np.stack([_middle(mask, start, end) for mask in masks])
            held = float(opening[start : end + 1].mean())
            return Grasp(arm, pose[start, :3], held, middle)
    return None


def _middle(mask: np.ndarray, start: int, end: int) -> np.ndarray:
    """Middle of the pixels that are the object's at one step and not at the other."""
    rows, columns = np.nonzero((mask[start, ..., 0] > 0) & (mask[end, ..., 0] == 0))
    if len(rows) < LEAST_PIXELS:
        return np.full(2, np.nan)
    return np.array([rows.mean(), columns.mean()]) / mask.shape[1]
