"""The tables of an inspection as rows of text, and its page: one HTML file with pictures."""

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax.display import contact_sheet, html
from glam_jax.inspect.survey import Survey, image_differences

HEADER = (
    "source", "episodes", "held out", "failed", "steps", "shortest", "longest", "Hz",
    "minutes", "action off by", "errors", "warnings",
)  # fmt: skip


def overview(surveys: list[Survey]) -> list[tuple[str, ...]]:
    """One row for each dataset, under a header."""
    rows = [HEADER]
    for one in surveys:
        lengths = [n for split in one.lengths.values() for n in split] or [0]
        rate = one.rate_hz
        rows.append(
            (
                one.name,
                str(len(one.lengths["train"])),
                str(len(one.lengths["heldout"])),
                str(one.failures),
                str(sum(lengths)),
                str(min(lengths)),
                str(max(lengths)),
                f"{rate:g}" if rate else "?",
                f"{sum(lengths) / rate / 60:.1f}" if rate else "?",
                f"{one.misses[0]:.3g}" if one.misses else "-",
                str(len(one.errors)),
                str(len(one.warnings)),
            )
        )
    return rows


def ranges(one: Survey) -> list[tuple[str, ...]]:
    """One row for each number of a step, under a header."""
    rows = [("number", "min", "max", "mean", "s.d.", "NaN", "")]
    for name, column in one.dimensions:
        measured = (column.min(), column.max(), column.mean(), column.std())
        numbers = tuple(f"{value:.4g}" for value in measured)
        constant = "constant" if np.ptp(column) < 1e-6 else ""
        rows.append((name, *numbers, str(int(np.isnan(column).sum())), constant))
    return rows


def cameras(surveys: list[Survey]) -> list[tuple[str, ...]]:
    """What the sources' cameras are said to be, and how far their mean images are apart."""
    rows = [("source", "cameras", "mean image against the first source's, of 255")]
    for one in surveys:
        apart = image_differences(surveys[0], one)
        shown = ", ".join(f"{view} {value:.0f}" for view, value in apart.items())
        rows.append((one.name, ", ".join(sorted(one.cameras)), shown))
    return rows


def text(rows: list[tuple[str, ...]]) -> str:
    """Rows in columns for the terminal."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def write(
    path: epath.PathLike, surveys: list[Survey], errors: list[str], warnings: list[str]
) -> epath.Path:
    """Writes the page; returns its path.

    Args:
      path: where. surveys: of all datasets. errors, warnings: all that were found.
    """
    parts = [html.table(overview(surveys))]
    parts += [html.listing("errors", errors), html.listing("warnings", warnings)]
    parts += [html.heading("Cameras"), html.table(cameras(surveys))]
    parts += [html.heading("Where the gripper goes"), html.drawing(_paths(surveys))]
    for one in surveys:
        parts += [html.heading(one.name), html.paragraph(str(one.folder))]
        if one.shown:
            parts.append(html.drawing(contact_sheet.sheet(one.shown)))
        if "action" in one.vectors:
            histograms = _histograms(one.vectors["action"])
            parts += [html.heading("Actions", 3), html.drawing(histograms)]
        if one.vectors:
            parts += [html.heading("Ranges", 3), html.table(ranges(one))]
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
