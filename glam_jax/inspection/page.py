"""The page of an inspection: one HTML file that holds its pictures."""

import base64
import html
import io
import os
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from glam_jax import contact_sheet
from glam_jax.inspection import tables
from glam_jax.inspection.survey import Survey
from glam_jax.schema import VIEWS

_FRAMES = 8
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1200px}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:2px 8px;text-align:left}img{max-width:100%}"
    ".errors{color:#a00}.warnings{color:#850}"
)


def write(
    path: str | os.PathLike, surveys: list[Survey], errors: list[str], warnings: list[str]
) -> Path:
    """Writes the page, beside and then renamed; returns its path.

    Args:
      path: where. surveys: of all datasets. errors, warnings: all that were found.
    """
    parts = ["<h1>Inspection</h1>", _table(tables.overview(surveys))]
    parts += [_list("errors", errors), _list("warnings", warnings)]
    parts += ["<h2>Cameras</h2>", _table(tables.cameras(surveys))]
    parts += ["<h2>Where the gripper goes</h2>", _image(_paths(surveys))]
    for one in surveys:
        parts.append(f"<h2>{html.escape(one.name)}</h2><p>{html.escape(str(one.folder))}</p>")
        parts += [_strips(one)]
        if "action" in one.vectors:
            parts += ["<h3>Actions</h3>", _image(_histograms(one.vectors["action"]))]
        if one.vectors:
            parts += ["<h3>Ranges</h3>", _table(tables.ranges(one))]
    whole = (
        f"<!doctype html><meta charset='utf-8'><title>Inspection</title>"
        f"<style>{_STYLE}</style>{''.join(parts)}\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(whole)
    partial.replace(path)
    return path


def _table(rows: list[tuple[str, ...]]) -> str:
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    return f"<table>{row(rows[0], 'th')}{''.join(row(r, 'td') for r in rows[1:])}</table>"


def _list(name: str, texts: list[str]) -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts) or "<li>none</li>"
    return f"<h2>{name.capitalize()}</h2><ul class='{name}'>{items}</ul>"


def _image(figure: Figure) -> str:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return f"<img src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"


def _strips(one: Survey) -> str:
    """The first episodes over time, both views, masks outlined."""
    if not one.shown:
        return ""
    rows = [(episode, view) for episode in one.shown for view in VIEWS]
    figure = Figure(figsize=(1.4 * _FRAMES, 1.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (episode, view) in zip(axes, rows, strict=True):
        frames = np.linspace(0, len(episode) - 1, _FRAMES).round().astype(int)
        axis.imshow(contact_sheet.strip(episode, view, frames))
        axis.set_title(f"seed {episode.seed}, {view}, steps 0 to {len(episode) - 1}", fontsize=8)
        axis.axis("off")
    return _image(figure)


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
