"""The page of an inspection: one HTML file that holds its pictures."""

import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from glam_jax.display import contact_sheet, html
from glam_jax.inspect import tables
from glam_jax.inspect.survey import Survey

_FRAMES = 8


def write(
    path: str | os.PathLike, surveys: list[Survey], errors: list[str], warnings: list[str]
) -> Path:
    """Writes the page, beside and then renamed; returns its path.

    Args:
      path: where. surveys: of all datasets. errors, warnings: all that were found.
    """
    parts = [html.table(tables.overview(surveys))]
    parts += [html.listing("errors", errors), html.listing("warnings", warnings)]
    parts += [html.heading("Cameras"), html.table(tables.cameras(surveys))]
    parts += [html.heading("Where the gripper goes"), html.image(_paths(surveys))]
    for one in surveys:
        parts += [html.heading(one.name), html.paragraph(str(one.folder)), _strips(one)]
        if "action" in one.vectors:
            histograms = _histograms(one.vectors["action"])
            parts += [html.heading("Actions", 3), html.image(histograms)]
        if one.vectors:
            parts += [html.heading("Ranges", 3), html.table(tables.ranges(one))]
    return html.write(path, "Inspection", parts)


def _strips(one: Survey) -> str:
    """The first episodes over time, all views, masks outlined."""
    if not one.shown:
        return ""
    rows = [(episode, view) for episode in one.shown for view in episode.views]
    figure = Figure(figsize=(1.4 * _FRAMES, 1.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (episode, view) in zip(axes, rows, strict=True):
        frames = np.linspace(0, len(episode) - 1, _FRAMES).round().astype(int)
        axis.imshow(contact_sheet.strip(episode, view, frames))
        axis.set_title(f"seed {episode.seed}, {view}, steps 0 to {len(episode) - 1}", fontsize=8)
        axis.axis("off")
    return html.image(figure)


def _histograms(actions: np.ndarray) -> Figure:
    """One panel for each number of an action."""
    columns = min(8, actions.shape[1])
    rows = -(-actions.shape[1] // columns)
    figure = Figure(figsize=(1.6 * columns, 1.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, panel in enumerate(panels):
        if i < actions.shape[1]:
            panel.hist(actions[:, i], bins=40)
            panel.set_title(f"action[{i}]", fontsize=8)
            panel.tick_params(labelsize=6)
            panel.set_yticks([])
        else:
            panel.set_axis_off()
    return figure


def _paths(surveys: list[Survey]) -> Figure:
    """The gripper's way in every episode, from above and from the side, a colour a source."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    for panel, (a, b) in zip(figure.subplots(1, 2), ((0, 1), (0, 2)), strict=True):
        for i, one in enumerate(surveys):
            for j, way in enumerate(one.paths):
                name = one.name if j == 0 else None
                panel.plot(way[:, a], way[:, b], color=f"C{i}", linewidth=0.5, label=name)
        panel.set_xlabel(f"{'xyz'[a]} (m)")
        panel.set_ylabel(f"{'xyz'[b]} (m)")
        panel.set_aspect("equal", adjustable="datalim")
        panel.grid(alpha=0.3)
        if any(one.paths for one in surveys):
            panel.legend(fontsize=8)
    return figure
