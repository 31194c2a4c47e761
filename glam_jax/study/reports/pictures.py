"""Pictures of reports: bars, curves and commands, of the cells that are there."""

import functools
from collections.abc import Sequence

from glam_jax.display import charts
from glam_jax.display.markdown import Picture
from glam_jax.evaluation import joints
from glam_jax.study.reports import names, published
from glam_jax.study.reports.rates import pooled, select, smoothness

SCORES = {
    "jerk score (less negative is smoother)": ("jerk", published.SCALING_JERK),
    "FFT score (lower is smoother)": ("fft", published.SCALING_FFT),
}


def by_task(found: dict) -> list[Picture]:
    """Success of every method by task, if there is any bar to draw."""
    tasks, bars, marks = found["tasks"], {}, {}
    for method in found["methods"]:
        rates = [pooled(select(found["cells"], task=task, method=method)) for task in tasks]
        if any(rates):
            label = names.method(method)
            bars[label] = [rate and rate.bar for rate in rates]
            marks[label] = [published.SUCCESS.get(task, {}).get(method) for task in tasks]
    if not bars:
        return []
    caption = "Success with 95% Wilson intervals; diamonds are the paper's values"

    def draw(path):
        groups = [names.task(task) for task in tasks]
        return charts.grouped_bars(path, groups, bars, marks, "paper (other robots)")

    return [Picture("success", caption, draw)]


def joint_commands(cells: Sequence[dict]) -> list[Picture]:
    """For each task, commands of the policies that kept them, against the expert's."""
    pictures = []
    for task in dict.fromkeys(cell["task"] for cell in cells):
        kept = [cell for cell in select(cells, task=task) if "joints" in cell]
        if not kept:
            continue
        series, ends = {joints.EXPERT: kept[0]["joints"]["expert"]}, []
        for cell in kept:
            label = names.method(cell["method"])
            series[label] = cell["joints"]["policy"]
            ends.append(f"{label} {'succeeded' if cell['joints']['success'] else 'failed'}")
        caption = f"Commands on {names.task(task)} from one start; {', '.join(ends)}"
        hz = kept[0]["joints"]["hz"]
        draw = functools.partial(
            charts.joint_trajectories, hz=hz, series=series, reference=joints.EXPERT
        )
        pictures.append(Picture(f"joints_{task}", caption, draw))
    return pictures


def scaling(task: str, points: dict[str, dict[int, list[dict]]]) -> list[Picture]:
    """Success with intervals and both smoothness scores by curve and number of episodes, beside
    the paper's where it measured the task; see `tables.curves`."""
    if not points:
        return []
    success, scores = {}, {title: {} for title in SCORES}
    for curve, by_size in points.items():
        label, sizes = names.CURVES[curve], list(by_size)
        bars = zip(*(pooled(cells).bar for cells in by_size.values()), strict=True)
        success[label] = charts.Curve(sizes, *map(list, bars))
        for title, (kind, _) in SCORES.items():
            values = [smoothness(cells, kind) for cells in by_size.values()]
            scores[title][label] = charts.Curve(sizes, values)
    if task == published.SCALING_TASK:
        success |= _paper(published.SCALING_SUCCESS, success)
        for title, (_, theirs) in SCORES.items():
            scores[title] |= _paper(theirs, scores[title])
    axis, where = "training episodes", f"on {names.task(task)} by number of training episodes"
    return [
        Picture(
            f"scaling_{task}",
            f"Success {where}, with 95% Wilson intervals",
            lambda path: charts.curves(path, {"success": success}, axis, rates=("success",)),
        ),
        Picture(
            f"smoothness_{task}",
            f"Smoothness {where}",
            lambda path: charts.curves(path, scores, axis),
        ),
    ]


def _paper(values: dict[str, dict[int, float]], ours: dict) -> dict[str, charts.Curve]:
    """The paper's curves, each in the colour of ours."""
    return {
        f"paper (another simulator): {names.CURVES[curve]}": charts.Curve(
            list(v), list(v.values()), reference=True, like=names.CURVES[curve]
        )
        for curve, v in values.items()
        if names.CURVES[curve] in ours
    }
