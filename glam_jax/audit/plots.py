"""Figures of latents: where two sources lie, and how far from what a decoder was trained on."""

from collections.abc import Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax.audit.latent_range import LatentRange
from glam_jax.audit.two_sample import thin
from glam_jax.display import charts

BINS = 60


def scatter(
    path: epath.PathLike,
    groups: dict[str, Sequence[np.ndarray]],
    known: LatentRange,
) -> epath.Path:
    """Writes a PNG of latents on the first two principal components of the first group.

    Args:
      path: where to write.
      groups: label -> episodes of latents, each (T_i, Z), Z at least 2. The first is behind.
      known: of the decoder; latents are whitened by it before.
    """
    white = {
        label: known.whiten(np.concatenate([thin(z) for z in episodes]))
        for label, episodes in groups.items()
    }
    first = next(iter(white.values()))
    centre = first.mean(axis=0)
    _, _, axes = np.linalg.svd(first - centre, full_matrices=False)
    figure = Figure(figsize=(5.0, 4.2), dpi=110, layout="constrained")
    panel = figure.subplots()
    for (label, z), colour in zip(white.items(), charts.COLOURS, strict=False):
        x, y = ((z - centre) @ axes[:2].T).T
        panel.scatter(x, y, s=4, alpha=0.35, color=colour, linewidth=0, label=label)
    panel.set_xlabel("first principal component", fontsize=8)
    panel.set_ylabel("second principal component", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.legend(fontsize=8, markerscale=3)
    return charts.save_figure(path, figure)


def distances(
    path: epath.PathLike,
    groups: dict[str, Sequence[np.ndarray]],
    known: LatentRange,
) -> epath.Path:
    """Writes a PNG of histograms of the latents' distances from the decoder's training inputs.

    Args are those of `scatter`. The dashed line is the end of the decoder's range.
    """
    found = {label: known.distance(np.concatenate(z)) for label, z in groups.items()}
    least = min(d.min() for d in found.values())
    most = max(known.limit, *(d.max() for d in found.values()))
    edges = np.geomspace(max(least, 1e-3), most * 1.01, BINS)
    figure = Figure(figsize=(5.0, 4.2), dpi=110, layout="constrained")
    panel = figure.subplots()
    for (label, d), colour in zip(found.items(), charts.COLOURS, strict=False):
        weights = np.full(len(d), 1.0 / len(d))
        panel.hist(d, edges, weights=weights, color=colour, alpha=0.5, label=label)
    panel.axvline(known.limit, color="black", linestyle="--", linewidth=1.0, label="range")
    panel.set_xscale("log")
    panel.set_xlabel("Mahalanobis distance", fontsize=8)
    panel.set_ylabel("share of latents", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.legend(fontsize=8)
    return charts.save_figure(path, figure)
