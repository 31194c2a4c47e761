"""The border that observations cross: names, shapes, dtypes, finite numbers, plausible ranges."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from glam_jax import schema

# A dimension that hardly moved in the demonstrations (m, rad, or none) may still differ by a
# multiple of this: the range check is there for wrong units and frames, not for small motions.
SPREAD_FLOOR = 0.5

Spec = dict[str, tuple[tuple[int, ...], np.dtype]]


class ObservationError(ValueError):
    """An observation that a policy cannot be asked with; names key, found and expected."""


def observation_spec(layout: schema.Layout) -> Spec:
    """Name -> (shape, dtype) of one observation: a step without its action and masks."""
    arrays = layout.step_arrays()
    return {k: v for k, v in arrays.items() if k != "action" and not k.startswith("mask_")}


def ranges(stats: dict, margin: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> lowest and highest plausible value, from the demonstrations' statistics.

    [min - margin d, max + margin d] with d = max(max - min, SPREAD_FLOOR) for each dimension of
    `ee_pose` and `proprio`; nothing if the margin is negative.
    """
    found = {}
    for name in ("ee_pose", "proprio") if margin >= 0 else ():
        low, high = np.asarray(stats[name]["min"]), np.asarray(stats[name]["max"])
        spread = margin * np.maximum(high - low, SPREAD_FLOOR)
        found[name] = (low - spread, high + spread)
    return found


def check(
    observation: Mapping[str, Any],
    spec: Spec,
    allowed: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    batch: int | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of an observation, in the dtypes of the spec.

    Images must be uint8 already, for what else they could mean is a guess; numbers may be any
    real dtype.

    Args:
      observation: name -> array, physical units.
      spec: see `observation_spec`. allowed: see `ranges`.
      batch: number of rows that each array must lead with; None for a single observation.

    Raises:
      ObservationError: a missing or unknown name, or an array that is not as expected.
    """
    if not isinstance(observation, Mapping):
        raise ObservationError(f"found {type(observation).__name__}; expected names and arrays")
    if missing := [name for name in spec if name not in observation]:
        raise ObservationError(f"{missing[0]} is missing; expected {', '.join(spec)}")
    if unknown := [name for name in observation if name not in spec]:
        raise ObservationError(f"unknown {unknown[0]!r:.40}; expected {', '.join(spec)}")
    rows = () if batch is None else (batch,)
    checked = {}
    for name, (shape, dtype) in spec.items():
        array = _as_array(name, observation[name], dtype)
        if array.shape != rows + shape:
            raise ObservationError(f"{name}: found shape {array.shape}; expected {rows + shape}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused as that
            checked[name] = array.astype(dtype, copy=False)
        if dtype.kind == "f":
            _check_values(name, checked[name], (allowed or {}).get(name))
    return checked


def _as_array(name: str, value: Any, dtype: np.dtype) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ObservationError(f"{name}: found a ragged list; expected an array") from None
    wanted = "fiu" if dtype.kind == "f" else ""
    if array.dtype != dtype and array.dtype.kind not in wanted:
        expected = "real numbers" if dtype.kind == "f" else f"{dtype}"
        raise ObservationError(f"{name}: found dtype {array.dtype}; expected {expected}")
    return array


def _check_values(name: str, array: np.ndarray, allowed) -> None:
    if not np.isfinite(array).all():
        index = int(np.argwhere(~np.isfinite(array))[0][-1])
        raise ObservationError(f"{name}[{index}]: found a value that is not finite")
    if allowed is None:
        return
    low, high = allowed
    outside = (array < low) | (array > high)
    if outside.any():
        i = int(np.argwhere(outside)[0][-1])
        found = float(array[..., i].ravel()[outside[..., i].ravel().argmax()])
        raise ObservationError(
            f"{name}[{i}]: found {found:.4g}; expected {low[i]:.4g} to {high[i]:.4g}, "
            "around what the demonstrations had (m, rad, opening 0 to 1)"
        )
