"""Statistics of columns as LeRobot keeps them, for an episode and for all of them."""

import numpy as np

_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def gather(values: np.ndarray) -> np.ndarray:
    """What is kept of a column's values, to be joined by `join`.

    Returns:
      Numbers (T, n) in float64; of pictures (T, H, W, 3) their histogram (3, 256).
    """
    if values.ndim == 4:
        flat = values.reshape(-1, values.shape[-1])
        return np.stack([np.bincount(channel, minlength=256) for channel in flat.T])
    return values.reshape(len(values), -1).astype(np.float64)


def join(kept: list[np.ndarray], picture: bool) -> np.ndarray:
    """What is kept of several episodes, as of one."""
    return np.sum(kept, axis=0) if picture else np.concatenate(kept)


def summary(kept: np.ndarray, picture: bool, frames: int) -> dict[str, list]:
    """`min`, `max`, `mean`, `std` and quantiles of each number, and `count`, the frames.

    Of pictures they are of each channel, with values 0 to 1 and shape (3, 1, 1).
    """
    found = _of_histogram(kept) if picture else _of_numbers(kept)
    shape = (-1, 1, 1) if picture else (-1,)
    listed = {name: value.reshape(shape).tolist() for name, value in found.items()}
    return listed | {"count": [frames]}


def _of_numbers(values: np.ndarray) -> dict[str, np.ndarray]:
    found = {name: getattr(values, name)(axis=0) for name in ("min", "max", "mean", "std")}
    return found | {name: np.quantile(values, q, axis=0) for name, q in _QUANTILES.items()}


def _of_histogram(counts: np.ndarray) -> dict[str, np.ndarray]:
    levels = np.arange(256) / 255.0
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    found = {
        "min": np.array([levels[c > 0].min() for c in counts]),
        "max": np.array([levels[c > 0].max() for c in counts]),
        "mean": mean,
        "std": np.sqrt(np.maximum(share @ levels**2 - mean**2, 0.0)),
    }
    below = share.cumsum(axis=1)
    for name, q in _QUANTILES.items():
        found[name] = levels[(below < q - 1e-12).sum(axis=1)]
    return found
