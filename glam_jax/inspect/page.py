"""The page of an inspection: one HTML file that holds its pictures."""

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax.display import contact_sheet, html
from glam_jax.inspect import tables
from glam_jax.inspect.survey import Survey


def write(
    path: epath.PathLike, surveys: list[Survey], errors: list[str], warnings: list[str]
) -> epath.Path:
    """Writes the page; returns its path.

    Args:
      path: where. surveys: of all datasets. errors, warnings: all that were found.
    """
    parts = [html.table(tables.overview(surveys))]
    parts += [html.listing("errors", errors), html.listing("warnings", warnings)]
    parts += [html.heading("Cameras"), html.table(tables.cameras(surveys))]
    parts += [html.heading("Where the gripper goes"), html.drawing(_paths(surveys))]
    for one in surveys:
        parts += [html.heading(one.name), html.paragraph(str(one.folder))]
        if one.shown:
            parts.append(html.drawing(contact_sheet.sheet(one.shown)))
        if "action" in one.vectors:
            histograms = _histograms(one.vectors["action"])
            parts += [html.heading("Actions", 3), html.drawing(histograms)]
        if one.vectors:
            parts += [html.heading("Ranges", 3), html.table(tables.ranges(one))]
    return html.write(path, "Inspection", parts)


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
