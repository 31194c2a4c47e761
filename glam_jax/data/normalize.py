"""Statistics of the data, and the forward and inverse scalings that use them.

Statistics are a plain nested dict of float32 arrays, so that they travel inside a
checkpoint: `statistics[key][name]` has the shape of one step of the key, with names

    mean, std       over all steps
    min, max        over all steps
    diff_std        of x_{t+1} - x_t within episodes (ee_pose, proprio)
    low, high       min and max, those of a constant as well (action)
    step            largest |x_{t+1} - x_t| within episodes (action)

A number that never changes has a deviation of 1 and a range of 2, so that it is 0 when it is
scaled. Small motions are scaled like large ones, whatever their units; only rotations (matrix
entries) and latents, whose scale is known, have a least deviation, since their noise would
otherwise be as large as the signal.

`proprio` (s) and `action` (a) are measured on the target source only, actions without those of an
episode's last step, which start no transition; `ee_pose` (x^e) on all sources. Units are those of
the key: m, rad, or none.

    >>> stats = array_statistics(np.array([[0.0], [2.0]]))
    >>> float(normalize(np.array([2.0]), stats)[0])
    1.0
"""

import chex
import numpy as np

from glam_jax.data.store import Store
from glam_jax.errors import DataError
from glam_jax.schema import EE_DIM, ROTATION

# Least deviation, and half-range, of entries of rotation matrices and of latents, both of order 1.
FLOOR = 1e-2
# Least deviation of the differences of rotations from one step to the next.
DIFF_FLOOR = 1e-3
# A number is constant if it changes by no more than this share of itself: rounding of float32.
_ROUNDING = 1e-5

# Part of a deviation by which means and deviations of the same data may differ, computed anew.
SAME = 0.01

Statistics = dict[str, dict[str, np.ndarray]]


def array_statistics(x_ND: np.ndarray, floor: float | np.ndarray = 0.0) -> dict[str, np.ndarray]:
    """mean, std, min and max over the first axis of (N, D); float32.

    Args:
      x_ND: rows. floor: least std and half-range, for all numbers or (D,).

    Raises:
      ValueError: if there are no rows, or values are not finite.
    """
    x_ND = np.asarray(x_ND, np.float64)
    chex.assert_rank(x_ND, 2)
    if not len(x_ND) or not np.isfinite(x_ND).all():
        raise ValueError(
            f"statistics need finite rows, found shape {x_ND.shape} with "
            f"{int((~np.isfinite(x_ND)).sum())} values that are not finite"
        )
    low, high = x_ND.min(0), x_ND.max(0)
    constant = high - low <= _ROUNDING * np.abs(x_ND).max(0)
    least = np.where(constant & (np.asarray(floor) == 0), 1.0, floor)
    widen = np.maximum(least - (high - low) / 2, 0)
    measured = {
        "mean": x_ND.mean(0),
        "std": np.maximum(x_ND.std(0), least),
        "min": low - widen,
        "max": high + widen,
    }
    return {name: value.astype(np.float32) for name, value in measured.items()}


def statistics(store: Store) -> Statistics:
    """Statistics of a mix of sources: `proprio` and `action` of the target's episodes alone."""
    arrays, targets = store.arrays, int(store.lengths[: store.targets].sum())
    rotation = np.tile(np.isin(np.arange(EE_DIM), ROTATION), store.layout.arms)
    action_NA, starts_N = arrays["action"], store.starts_of(1, target=True)
    return {
        "ee_pose": _moving(arrays["ee_pose"], store.starts, rotation),
        "proprio": _moving(arrays["proprio"][:targets], store.starts[: store.targets]),
        "action": array_statistics(action_NA[starts_N])
        | {
            "low": action_NA[starts_N].min(0),
            "high": action_NA[starts_N].max(0),
            "step": _largest_step(action_NA, store.starts_of(2, target=True)),
        },
    }


def check_same(earlier: Statistics, stats: Statistics, place: str) -> None:
    """Raises DataError where statistics are not those of the same data; names `place` and the key.

    Args:
      earlier: with which a training began; keys that it lacks are not compared.
    """
    for key, names in stats.items():
        before = earlier.get(key, names)
        for name in ("mean", "std"):
            if np.shape(before[name]) != np.shape(names[name]) or np.any(
                np.abs(before[name] - names[name]) > SAME * before["std"]
            ):
                raise DataError(
                    f"{place} was trained with other data: {name} of {key} was {before[name]}, is "
                    f"{names[name]}; give it the data from before, or choose another --workdir"
                )


def _moving(
    x_ND: np.ndarray, starts: np.ndarray, rotation_D: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """As `array_statistics`, and `diff_std` of the differences inside the runs from `starts` on;
    `rotation_D` tells which numbers are of rotations."""
    found = array_statistics(x_ND, FLOOR * rotation_D)
    differences = np.delete(np.diff(x_ND.astype(np.float64), axis=0), starts[1:] - 1, axis=0)
    diff_std = np.maximum(differences.std(0), DIFF_FLOOR * rotation_D)
    still = diff_std <= _ROUNDING * found["std"]
    return found | {"diff_std": np.where(still, found["std"], diff_std).astype(np.float32)}


def _largest_step(x_ND: np.ndarray, starts_n: np.ndarray) -> np.ndarray:
    """(D,): how far each number moved at most from one of these rows to the next; inf if there are
    none."""
    if not len(starts_n):
        return np.full(x_ND.shape[1], np.inf, np.float32)
    steps = np.abs(x_ND[starts_n + 1].astype(np.float64) - x_ND[starts_n])
    return steps.max(0).astype(np.float32)


def normalize(x, stats: dict):
    """(x - mean) / std, over the last axis."""
    return (x - stats["mean"]) / stats["std"]


def unnormalize(x, stats: dict):
    """Inverse of `normalize`: x * std + mean."""
    return x * stats["std"] + stats["mean"]


def normalize_range(x, stats: dict):
    """Maps [min, max] onto [-1, 1] per dimension; a constant dimension onto 0."""
    return 2 * (x - stats["min"]) / (stats["max"] - stats["min"]) - 1


def unnormalize_range(x, stats: dict):
    """Inverse of `normalize_range`."""
    return (x + 1) / 2 * (stats["max"] - stats["min"]) + stats["min"]
