"""Statistics of the data, and the forward and inverse scalings that use them.

Statistics are a plain nested dict of float32 arrays, so that they travel inside a
checkpoint: `statistics[key][name]` has the shape of one step of the key, with names

    mean, std       over all steps; std is at least STD_FLOOR
    min, max        over all steps, moved apart to at least 2 RANGE_FLOOR
    diff_std        of x_{t+1} - x_t within episodes, at least DIFF_FLOOR (ee_pose, proprio)

`proprio` (s) and `action` (a) are measured on the target source only, `ee_pose` (x^e) on
all sources. Units are those of the key: m, rad, or none.

    >>> stats = array_statistics(np.array([[0.0], [2.0]]))
    >>> float(normalize(np.array([2.0]), stats)[0])
    1.0
"""

import chex
import numpy as np

from glam_jax.data.store import Store
from glam_jax.errors import DataError

# A dimension that does not move has only numerical noise; without a floor, dividing by its
# deviation would make that noise as large as the signal of the others. One centimetre or
# one hundredth of a radian is far below what a demonstration covers.
STD_FLOOR = 1e-2
# Smallest deviation of one-step differences, 1 mm or 1 mrad per control step.
DIFF_FLOOR = 1e-3
# Smallest half-range when scaling to [-1, 1].
RANGE_FLOOR = 1e-2

# Part of a deviation by which means and deviations of the same data may differ, computed anew.
SAME = 0.01

Statistics = dict[str, dict[str, np.ndarray]]


def array_statistics(x_ND: np.ndarray) -> dict[str, np.ndarray]:
    """mean, std, min and max over the first axis of (N, D); float32.

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
    widen = np.maximum(RANGE_FLOOR - (high - low) / 2, 0)
    measured = {
        "mean": x_ND.mean(0),
        "std": np.maximum(x_ND.std(0), STD_FLOOR),
        "min": low - widen,
        "max": high + widen,
    }
    return {name: value.astype(np.float32) for name, value in measured.items()}


def statistics(store: Store) -> Statistics:
    """Statistics of a mix of sources: `proprio` and `action` of the target's episodes alone."""
    arrays, targets = store.arrays, int(store.lengths[: store.targets].sum())
    return {
        "ee_pose": _moving(arrays["ee_pose"], store.starts),
        "proprio": _moving(arrays["proprio"][:targets], store.starts[: store.targets]),
        "action": array_statistics(arrays["action"][:targets]),
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


def _moving(x_ND: np.ndarray, starts: np.ndarray) -> dict[str, np.ndarray]:
    """As `array_statistics`, and `diff_std` of the differences inside the runs from `starts` on."""
    differences = np.delete(np.diff(x_ND.astype(np.float64), axis=0), starts[1:] - 1, axis=0)
    diff_std = np.maximum(differences.std(0), DIFF_FLOOR).astype(np.float32)
    return array_statistics(x_ND) | {"diff_std": diff_std}


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
