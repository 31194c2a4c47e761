"""Pictures of training: loss curves and image reconstructions, as PNG files."""

from collections.abc import Mapping, Sequence

import chex
import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax.display import canvas, charts

SIDE = 96  # of one picture in a grid, pixels


def curves(path: epath.PathLike, metrics: Mapping[str, tuple[Sequence, Sequence]]) -> epath.Path:
    """Draws each metric over training steps, one panel each, and writes a PNG.

    A panel is logarithmic if all its finite values are positive and they span a factor of
    ten. Non-finite values leave gaps.

    Args:
      path: where to write.
      metrics: name -> (steps, values), of equal length.
    """
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(4.0 * columns, 2.6 * rows), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, (steps, values)) in zip(panels, metrics.items(), strict=False):
        steps, values = np.asarray(steps), np.asarray(values, np.float64)
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


def reconstructions(path: epath.PathLike, images: np.ndarray, decoded: np.ndarray) -> epath.Path:
    """Writes a PNG of images above what was decoded from them, view by view.

    Each column is a sample; its rows are the first view, its reconstruction, the second view,
    its reconstruction, and so on.

    Args:
      path: where to write.
      images: (N, V, H, W, C), C = 3 (RGB) or 1 (masks): RGB is uint8 or in [0, 1], a mask is 0
        or 1.
      decoded: the same shape, in [0, 1].
    """
    chex.assert_equal_shape([images, decoded])
    chex.assert_rank(images, 5)
    pairs = zip(_rgb(images), _rgb(np.asarray(decoded)), strict=True)
    return strip(path, np.concatenate([row for pair in pairs for row in pair]), len(images))


def strip(path: epath.PathLike, images: np.ndarray, columns: int) -> epath.Path:
    """Writes a PNG of RGB frames (V * N, H, W, 3) uint8: N columns, one row for each of V views."""
    pictures = np.stack([canvas.enlarge(image, SIDE) for image in images])
    return canvas.save_png(path, canvas.tile(pictures, columns))


def _rgb(images: np.ndarray) -> np.ndarray:
    """(N, V, H, W, C) -> uint8 RGB (V, N, H, W, 3)."""
    is_mask = images.shape[-1] == 1
    if images.dtype != np.uint8 or is_mask:
        images = np.clip(images.astype(np.float32) * 255.0, 0, 255).round().astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:-1], 3)).swapaxes(0, 1)
