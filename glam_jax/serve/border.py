"""The border that observations cross: names, shapes, dtypes, finite numbers, plausible ranges."""

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from glam_jax import schema
from glam_jax.client import wire

# A dimension that hardly moved in the demonstrations (m, rad, or none) may still differ by a
# multiple of this: the range check is there for wrong units and frames, not for small motions.
SPREAD_FLOOR = 0.5

# Longest free side of a picture: it may be padded to a square, of which the memory is not limited
# by what was sent.
MAX_SIDE = 4096

# What openpi's runtimes send in words; language conditions nothing.
PROMPT = "prompt"

# Name -> shape and dtype; a side that is None may have any length from 1 to MAX_SIDE.
Spec = dict[str, tuple[tuple[int | None, ...], np.dtype]]
# Name -> lowest and highest plausible value of each number.
Ranges = Mapping[str, tuple[np.ndarray, np.ndarray]]


class ObservationError(ValueError):
    """An observation that a policy cannot be asked with; names key, found and expected."""


def observation_spec(layout: schema.Layout) -> Spec:
    """Name -> (shape, dtype) of one observation: a step without its action and masks."""
    arrays = layout.step_arrays()
    return {k: v for k, v in arrays.items() if k != "action" and not k.startswith("mask_")}


def ranges(stats: dict, margin: float) -> Ranges:
    """What is plausible by the demonstrations' statistics.

    [min - margin d, max + margin d] with d = max(max - min, SPREAD_FLOOR) for each dimension of
    `ee_pose` and `proprio`; nothing if the margin is negative.
    """
    found = {}
    for name in ("ee_pose", "proprio") if margin >= 0 else ():
        low, high = np.asarray(stats[name]["min"]), np.asarray(stats[name]["max"])
        spread = margin * np.maximum(high - low, SPREAD_FLOOR)
        found[name] = (low - spread, high + spread)
    return found


def rows(observation: Mapping[str, Any], spec: Spec) -> int | None:
    """The number of rows of a batch, by the array with the fewest sides; None for one observation,
    or none at all."""
    name = min(spec, key=lambda name: len(spec[name][0]))
    array = observation.get(name) if isinstance(observation, Mapping) else None
    with contextlib.suppress(ValueError):  # ragged, which is refused as that
        if array is not None and np.ndim(array) == len(spec[name][0]) + 1:
            return len(array)
    return None


def check(
    observation: Mapping[str, Any],
    spec: Spec,
    batch: int | None = None,
    exact: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """The arrays of an observation, in the dtypes of the spec; a prompt is left out.

    Images must have their dtype already, for what else they could mean is a guess; numbers may be
    any real dtype.

    Args:
      observation: name -> array.
      spec: see `Spec`.
      batch: number of rows that each array must lead with; None for a single observation.
      exact: names whose real numbers must have their dtype already, too.

    Raises:
      ObservationError: a missing or unknown name, or an array that is not as expected.
    """
    if not isinstance(observation, Mapping):
        raise ObservationError(f"found {type(observation).__name__}; expected names and arrays")
    if missing := [name for name in spec if name not in observation]:
        raise ObservationError(f"{missing[0]} is missing; expected {', '.join(spec)}")
    if unknown := [name for name in observation if name not in spec and name != PROMPT]:
        raise ObservationError(f"unknown {wire.shown(unknown[0])}; expected {', '.join(spec)}")
    leading = () if batch is None else (batch,)
    checked = {}
    for name, (shape, dtype) in spec.items():
        array = _as_array(name, observation[name], dtype, name in exact)
        _check_shape(name, array.shape, leading + shape)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused as that
            checked[name] = array.astype(dtype, copy=False)
        if dtype.kind == "f" and not (fine := np.isfinite(checked[name])).all():
            place = np.argwhere(~fine)[0][len(leading) :]
            index = f"[{', '.join(map(str, place))}]" if len(place) else ""
            raise ObservationError(f"{name}{index}: found a value that is not finite")
    return checked


def _as_array(name: str, value: Any, dtype: np.dtype, exact: bool) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ObservationError(f"{name}: found a ragged list; expected an array") from None
    real = dtype.kind == "f" and not exact
    if array.dtype != dtype and not (real and array.dtype.kind in "fiu"):
        expected = "real numbers" if real else f"{dtype}"
        raise ObservationError(f"{name}: found dtype {array.dtype}; expected {expected}")
    return array


def _check_shape(name: str, found: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    sides = zip(found, expected, strict=False)
    fits = (1 <= f <= MAX_SIDE if e is None else f == e for f, e in sides)
    if len(found) != len(expected) or not all(fits):
        wanted = str(expected).replace("None", f"1 to {MAX_SIDE}")
        raise ObservationError(f"{name}: found shape {found}; expected {wanted}")


def check_ranges(
    seen: Mapping[str, np.ndarray],
    allowed: Ranges,
    origin: Callable[[str, int], str],
) -> None:
    """Raises ObservationError for numbers that the demonstrations make implausible.

    Args:
      seen: one observation, by the schema's names. allowed: see `ranges`.
      origin: (name, index) -> what the client calls that number.
    """
    for name, (low, high) in allowed.items():
        outside = np.flatnonzero((seen[name] < low) | (seen[name] > high))
        if len(outside):
            i = int(outside[0])
            raise ObservationError(
                f"{origin(name, i)}: found {seen[name][i]:.4g}; expected {low[i]:.4g} to "
                f"{high[i]:.4g}, around what the demonstrations had (m, rad, opening 0 to 1)"
            )
