"""The page of a source's masks: image, mask and overlay over time, and areas."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax.display import html
from glam_jax.own_data.tracking import HELD, Track

_FRAMES = 8
_TINT = np.array([255, 0, 255])


@dataclasses.dataclass(frozen=True)
class Shown:
    """An episode of the page.

    Attributes:
      name: what to call it. steps: its converted arrays, as of `Layout.step_arrays`.
      tracks: of its objects, a state and an area for every recorded step.
      rate_hz: of the recorded steps. new_rate_hz: of the converted ones.
    """

    name: str
    steps: dict[str, np.ndarray]
    tracks: list[Track]
    rate_hz: float
    new_rate_hz: float


def write(
    path: epath.PathLike,
    source: str,
    episodes: Sequence[Shown],
    rows: Sequence[Sequence[str]],
    warnings: Sequence[str],
) -> epath.Path:
    """Writes the page; returns its path.

    Args:
      path: where. source: its name. episodes: those that are shown.
      rows: table of what became of the objects, as of `masks.Tally`. warnings: texts.
    """
    parts = [
        html.table(rows),
        html.paragraph(
            "seen: the object's pixels were found; held: they were not, and the mask stays where "
            "it was; empty: no mask. Pictures are as they are converted, areas as recorded."
        ),
        html.listing("warnings", warnings),
    ]
    for one in episodes:
        views = sorted({track.view for track in one.tracks})
        parts.append(html.heading(one.name))
        parts += [html.drawing(_strips(one, view)) for view in views]
        parts.append(html.drawing(_areas(one, views)))
    return html.write(path, f"Masks of {source}", parts)


def overlay(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Images (N, H, W, 3) uint8, half tinted where masks (N, H, W, 1) are above 0."""
    tinted = (images.astype(int) + _TINT) // 2
    return np.where(masks > 0, tinted, images).astype(np.uint8)


def _strips(one: Shown, view: str) -> Figure:
    """Image, mask and overlay of a view, one above the other, with times; held ones are marked."""
    images, masks = one.steps[f"image_{view}"], one.steps[f"mask_{view}"]
    frames = np.unique(np.linspace(0, len(images) - 1, _FRAMES).round().astype(int))
    rows = images[frames], masks[frames].repeat(3, -1) * 255, overlay(images, masks)[frames]
    figure = Figure(figsize=(1.4 * len(frames), 4.5), layout="constrained")
    axes = figure.subplots(len(rows), len(frames), squeeze=False)
    for column, frame in enumerate(frames):
        time = frame / one.new_rate_hz
        title = f"{time:.1f} s"
        if _held(one, view, time):
            title += ", held"
        axes[0, column].set_title(title, fontsize=8)
        for row, pictures in enumerate(rows):
            axes[row, column].imshow(pictures[column], interpolation="nearest")
            axes[row, column].axis("off")
    figure.suptitle(view, fontsize=9)
    return figure


def _held(one: Shown, view: str, time: float) -> bool:
    tracks = [track for track in one.tracks if track.view == view]
    step = min(round(time * one.rate_hz), len(tracks[0].states) - 1)
    return any(track.states[step] == HELD for track in tracks)


def _areas(one: Shown, views: Sequence[str]) -> Figure:
    """The area of every object over time, a panel a view, with held steps as dots."""
    figure = Figure(figsize=(11, 2.2), layout="constrained")
    for panel, view in zip(figure.subplots(1, len(views), squeeze=False)[0], views, strict=True):
        for i, track in enumerate(t for t in one.tracks if t.view == view):
            time, percent = np.arange(len(track.areas)) / one.rate_hz, 100 * track.areas
            panel.plot(time, percent, color=f"C{i}", linewidth=1, label=track.name)
            held = track.states == HELD
            name = "held" if held.any() else None
            panel.plot(time[held], percent[held], ".", color="black", markersize=5, label=name)
        panel.set_title(view, fontsize=8)
        panel.set_xlabel("time (s)", fontsize=8)
        panel.set_ylabel("area (% of picture)", fontsize=8)
        panel.set_ylim(bottom=0)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    return figure
