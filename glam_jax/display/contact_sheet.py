"""A picture of demonstrations: strips over time of each view, masks outlined."""

from collections.abc import Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure
from scipy import ndimage

from glam_jax.display import charts
from glam_jax.schema import Episode, title

_OUTLINE = (255, 0, 255)
_FRAMES = 10
SCALE = 4


def save(episodes: Sequence[Episode], path: epath.PathLike) -> None:
    """Writes `sheet` as a PNG."""
    charts.save_figure(path, sheet(episodes))


def sheet(episodes: Sequence[Episode]) -> Figure:
    """One row per episode and view, `_FRAMES` frames evenly over time."""
    rows = [(episode, view) for episode in episodes for view in episode.views]
    figure = Figure(figsize=(1.5 * _FRAMES, 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (episode, view) in zip(axes, rows, strict=True):
        frames = np.linspace(0, len(episode) - 1, _FRAMES).round().astype(int)
        axis.imshow(strip(episode, view, frames))
        axis.set_title(
            f"{episode.task}, {title(episode.source)}, seed {episode.seed}, {view}: "
            f"steps 0 to {len(episode) - 1}",
            fontsize=9,
        )
        axis.axis("off")
    return figure


def strip(episode: Episode, view: str, frames: np.ndarray) -> np.ndarray:
    """The given frames side by side, enlarged, with the masks outlined.

    Returns:
      uint8 (s H, n s W, 3) with s = `SCALE`; outlines are one pixel wide.
    """
    images = _enlarge(episode.steps[f"image_{view}"][frames])
    mask = _enlarge(episode.steps[f"mask_{view}"][frames])[..., 0] > 0
    # A pixel of the mask lies inside if its four neighbours are in the mask too.
    four = ndimage.generate_binary_structure(2, 1)[None]
    images[mask & ~ndimage.binary_erosion(mask, four)] = _OUTLINE
    return np.concatenate(list(images), axis=1)


def _enlarge(images: np.ndarray) -> np.ndarray:
    return images.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
