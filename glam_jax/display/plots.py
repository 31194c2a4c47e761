"""Pictures of training: loss curves and image reconstructions, as PNG files."""

from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax.display import canvas, charts


def curves(path: epath.PathLike, metrics: Mapping[str, tuple[Sequence, Sequence]]) -> epath.Path:
    """Draws each metric over training steps, one panel each, and writes a PNG.

    A panel is logarithmic if all its finite values are positive and they span a factor of
    ten. Non-finite values leave gaps.

    Args:
      path: where to write.
      metrics: name -> (steps, values), of equal length.

    Raises:
      ValueError: for no metrics, or steps and values of different length.
    """
    if not metrics:
        raise ValueError(f"{path}: no metrics to draw")
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(4.0 * columns, 2.6 * rows), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, (steps, values)) in zip(panels, metrics.items(), strict=False):
        steps, values = np.asarray(steps), np.asarray(values, np.float64)
        if steps.shape != values.shape:
            raise ValueError(f"{path}: {name} has {steps.shape} steps and {values.shape} values")
        finite = values[np.isfinite(values)]
        panel.plot(steps, np.where(np.isfinite(values), values, np.nan), linewidth=1.0)
        if len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min():
            panel.set_yscale("log")
        panel.set_title(name, fontsize=9)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    for panel in panels[len(metrics) :]:
        panel.set_axis_off()
    return charts.save_figure(path, figure)


def reconstructions(
    path: epath.PathLike, images: np.ndarray, decoded: np.ndarray, size: int = 96
) -> epath.Path:
    """Writes a PNG of images above what was decoded from them, view by view.

    Each column is a sample; its rows are the first view, its reconstruction, the second view,
    its reconstruction, and so on.

    Args:
      path: where to write.
      images: (N, V, H, W, C), C = 3 (RGB) or 1 (masks): RGB is uint8 or in [0, 1], a mask is 0
        or 1.
      decoded: the same shape, in [0, 1].
      size: side of one picture in pixels.

    Raises:
      ValueError: if the shapes differ, or are not as above.
    """
    images, decoded = np.asarray(images), np.asarray(decoded)
    whole = images.ndim == 5 and len(images) and images.shape[-1] in (1, 3)
    if images.shape != decoded.shape or not whole:
        raise ValueError(
            f"{path}: images {images.shape} and decoded {decoded.shape}; "
            "expected both (at least 1, V, H, W, 3 or 1)"
        )
    rows = [row for pair in zip(_rgb(images), _rgb(decoded), strict=True) for row in pair]
    pictures = np.stack([canvas.enlarge(picture, size) for row in rows for picture in row])
    return canvas.save_png(path, canvas.tile(pictures, columns=len(images)))


def strip(path: epath.PathLike, images: np.ndarray, columns: int, size: int = 96) -> epath.Path:
    """Writes a PNG of RGB frames (V * N, H, W, 3) uint8: N columns, one row for each of V views.

    Raises:
      ValueError: see `canvas.tile`.
    """
    pictures = np.stack([canvas.enlarge(image, size) for image in images])
    return canvas.save_png(path, canvas.tile(pictures, columns))


def _rgb(images: np.ndarray) -> np.ndarray:
    """(N, V, H, W, C) -> uint8 RGB (V, N, H, W, 3)."""
    is_mask = images.shape[-1] == 1
    if images.dtype != np.uint8 or is_mask:
        images = np.clip(images.astype(np.float32) * 255.0, 0, 255).round().astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:-1], 3)).swapaxes(0, 1)
