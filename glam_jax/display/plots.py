"""Pictures of training: loss curves and image reconstructions, as PNG files."""

from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax import schema
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
      images: (N, H, W, C) with V views stacked on channels, C = 3 V (RGB) or V (masks): RGB
        is uint8 or in [0, 1], a mask is 0 or 1.
      decoded: the same shape, in [0, 1].
      size: side of one picture in pixels.

    Raises:
      ValueError: if the shapes differ, or C fits neither RGB nor masks of the schema's views.
    """
    images, decoded = np.asarray(images), np.asarray(decoded)
    if images.shape != decoded.shape or images.ndim != 4 or not len(images):
        raise ValueError(
            f"{path}: images {images.shape} and decoded {decoded.shape}; "
            "expected both (at least 1, H, W, C)"
        )
    rows = [view for pair in zip(_views(images), _views(decoded), strict=True) for view in pair]
    pictures = np.stack([canvas.enlarge(picture, size) for row in rows for picture in row])
    return canvas.save_png(path, canvas.tile(pictures, columns=len(images)))


def strip(path: epath.PathLike, images: np.ndarray, size: int = 96) -> epath.Path:
    """Writes a PNG of RGB frames (V * N, H, W, 3) uint8: N in a row, one row for each of V views.

    Raises:
      ValueError: see `canvas.tile`.
    """
    pictures = np.stack([canvas.enlarge(image, size) for image in images])
    return canvas.save_png(path, canvas.tile(pictures, len(images) // len(schema.VIEWS)))


def _views(images: np.ndarray) -> list[np.ndarray]:
    """Stacked channels -> one uint8 RGB array (N, H, W, 3) for each view."""
    views = len(schema.VIEWS)
    if images.shape[-1] not in (views, 3 * views):
        raise ValueError(
            f"reconstructions: {images.shape[-1]} channels; expected {3 * views} (RGB) or "
            f"{views} (masks) for the views {', '.join(schema.VIEWS)}"
        )
    is_mask = images.shape[-1] == views
    if images.dtype != np.uint8 or is_mask:
        images = np.clip(images.astype(np.float32) * 255.0, 0, 255).round().astype(np.uint8)
    return [
        np.repeat(view, 3, axis=-1) if is_mask else view
        for view in np.split(images, views, axis=-1)
    ]
