"""Figures of studies: grouped bars, curves over the number of episodes, joint trajectories."""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence

import chex
import numpy as np
from etils import epath
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from glam_jax import schema
from glam_jax.display import canvas

# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")

FIFTHS = np.linspace(0, 1, 6)  # where an axis of rates is ticked

# A rate with its interval, all in [0, 1].
Bar = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Values over x with intervals.

    Attributes:
      x, y: (n,) values. low, high: (n,) bounds, or None for a curve without.
      reference: somebody else's values, drawn dashed.
      like: label of the curve whose colour it shares, "" for its own.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    reference: bool = False
    like: str = ""


def grouped_bars(
    path: epath.PathLike,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Bar | None]],
    marks: Mapping[str, Sequence[float | None]],
    mark_label: str,
) -> epath.Path:
    """Writes a PNG of rates in groups of bars with intervals.

    Args:
      path: where to write.
      groups: names of the groups along the axis.
      series: label -> a `Bar` for each group, None where there is none.
      marks: label of a series -> another's value for each group, drawn as a diamond on its bar.
      mark_label: what the diamonds are.
    """
    figure = Figure(
        figsize=(max(5.0, 0.35 * len(groups) * (len(series) + 1) + 2), 3.4),
        dpi=120,
        layout="constrained",
    )
    panel = figure.subplots()
    width, marked = 0.8 / len(series), False
    for index, (label, values) in enumerate(series.items()):
        left = np.arange(len(groups)) + (index - (len(series) - 1) / 2) * width
        there = [(x, bar) for x, bar in zip(left, values, strict=True) if bar is not None]
        colour = COLOURS[index % len(COLOURS)]
        panel.bar([x for x, _ in there], [b[0] for _, b in there], width * 0.92, color=colour,
                  label=label)  # fmt: skip
        _whiskers(panel, [x for x, _ in there], [bar for _, bar in there])
        diamonds = [
            (x + width / 4, value)  # beside the whisker, which it would hide
            for x, value in zip(left, marks.get(label, ()), strict=False)
            if value is not None
        ]
        if diamonds:
            panel.scatter(*zip(*diamonds, strict=True), s=26, marker="D", facecolor="white",
                          edgecolor="black", linewidth=0.9, zorder=4,
                          label=None if marked else mark_label)  # fmt: skip
            marked = True
    # Long names in lines, or neighbours' would overlap.
    panel.set_xticks(np.arange(len(groups)), [textwrap.fill(name, 24) for name in groups])
    panel.set_xlim(-0.5, len(groups) - 0.5)  # also where the last group has no bars
    _rates(panel, "success")
    labels = [*series, mark_label] if marked else list(series)
    # As many beside each other as fit: an entry takes its key and its letters, in inches.
    entry = 0.45 + 0.05 * max(len(label) for label in labels)
    columns = min(len(labels), 5, max(1, int(figure.get_figwidth() / entry)))
    figure.legend(loc="outside upper center", ncols=columns, fontsize=7)
    return save_figure(path, figure)


def curves(
    path: epath.PathLike,
    panels: Mapping[str, Mapping[str, Curve]],
    x_axis: str,
    rates: Sequence[str] = (),
) -> epath.Path:
    """Writes a PNG of panels side by side, each with curves and their intervals.

    Args:
      path: where to write.
      panels: title, which is also its vertical axis -> label -> `Curve`; a label has one colour in
        all panels, and entries of the legend only once.
      x_axis: what x is.
      rates: titles of the panels that show rates, from 0 to 1.
    """
    figure = Figure(figsize=(max(6.5, 4.2 * len(panels)), 3.9), dpi=120, layout="constrained")
    owners = {
        label: curve.like or label for shown in panels.values() for label, curve in shown.items()
    }
    order = list(dict.fromkeys(owners.values()))
    handles = {}
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (title, shown) in zip(axes, panels.items(), strict=True):
        for label, curve in shown.items():
            colour = COLOURS[order.index(owners[label]) % len(COLOURS)]
            handles.setdefault(label, _curve(panel, curve, colour))
        panel.set_xticks(sorted({x for curve in shown.values() for x in curve.x}))
        panel.set_xlabel(x_axis, fontsize=8)
        if title in rates:
            _rates(panel, title)
        else:
            panel.set_ylabel(title, fontsize=8)
            panel.grid(alpha=0.3)
        panel.tick_params(labelsize=8)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2, fontsize=7)
    return save_figure(path, figure)


def joint_trajectories(
    path: epath.PathLike, hz: float, series: Mapping[str, Sequence], reference: str = ""
) -> epath.Path:
    """Writes a PNG with a panel for each joint and gripper of each arm, over time.

    Args:
      path: where to write.
      hz: commands a second.
      series: label -> commands (T, 8 arms), joint targets in rad and the gripper's from 0 to 1.
      reference: label of the one that the others are held against, drawn dashed and grey.
    """
    arrays = {label: np.asarray(values, float) for label, values in series.items()}
    arrays = {label: values for label, values in arrays.items() if len(values)}
    chex.assert_rank(list(arrays.values()), 2)
    chex.assert_equal_shape(list(arrays.values()), dims=1)
    arms = next(iter(arrays.values())).shape[1] // schema.ACTION_DIM
    names = [f"J{k}, rad" for k in range(1, schema.ACTION_DIM)] + ["gripper, 1 is open"]
    if arms > 1:
        names = [f"arm {arm + 1}: {name}" for arm in range(arms) for name in names]
    figure = Figure(figsize=(9.5, 3.2 * arms + 0.5), dpi=120, layout="constrained")
    panels = figure.subplots(2 * arms, schema.ACTION_DIM // 2, sharex=True).flat
    for index, (panel, name) in enumerate(zip(panels, names, strict=True)):
        coloured = 0
        for label, values in arrays.items():
            style = {"color": COLOURS[coloured % len(COLOURS)], "linewidth": 1.2}
            if label == reference:
                style = {"color": "#555555", "linewidth": 1.0, "linestyle": "--"}
            coloured += label != reference
            panel.plot(np.arange(len(values)) / hz, values[:, index], label=label, **style)
        panel.set_title(name, fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    figure.supxlabel("s", fontsize=8)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=7)
    return save_figure(path, figure)


def _curve(panel, curve: Curve, colour: str):
    style = {"linestyle": "--", "marker": "D", "markerfacecolor": "white"}
    style = style if curve.reference else {"linestyle": "-", "marker": "o"}
    (line,) = panel.plot(curve.x, curve.y, color=colour, markersize=4, linewidth=1.4, **style)
    if curve.low is not None and curve.high is not None:
        panel.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    return line


def _whiskers(panel, x: Sequence[float], bars: Sequence[Bar]) -> None:
    """Intervals of bars."""
    if bars:
        value, low, high = np.asarray(bars).T
        lengths = np.maximum([value - low, high - value], 0.0)
        style = {"fmt": "none", "ecolor": "black", "elinewidth": 0.9, "capsize": 2}
        panel.errorbar(x, value, lengths, **style)


def _rates(panel, axis: str) -> None:
    panel.set_ylim(0.0, 1.03)
    panel.set_yticks(FIFTHS, [f"{share:.0%}" for share in FIFTHS])
    panel.set_ylabel(axis, fontsize=8)
    panel.tick_params(labelsize=8)
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)


def save_figure(path: epath.PathLike, figure: Figure) -> epath.Path:
    """Draws a figure and writes it as a PNG; makes the folder; returns the path."""
    agg = FigureCanvasAgg(figure)
    agg.draw()
    return canvas.save_png(path, np.asarray(agg.buffer_rgba())[..., :3].copy())
