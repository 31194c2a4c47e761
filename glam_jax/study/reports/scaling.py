"""Scaling: success and smoothness against the number of demonstrations."""

from collections.abc import Sequence

from glam_jax.display import charts
from glam_jax.display.markdown import Picture, Report, Table, percent
from glam_jax.study.reports import names, published, rates
from glam_jax.study.reports.tables import (
    POLICY_COLUMNS,
    joint_pictures,
    policy_texts,
    select,
    smoothness,
)

LABELS = {
    published.MIP: "MIP, target",
    published.AUXILIARY: "GLAM-O, target + auxiliary",
    published.TARGET: "GLAM-O, target",
}
SUCCESS = "success"
SCORES = {
    "jerk score (less negative is smoother)": ("jerk_smoothness", published.SCALING_JERK),
    "FFT score (lower is smoother)": ("fft_smoothness", published.SCALING_FFT),
}


def scaling(found: dict) -> Report:
    """MIP and GLAM-O against the number of episodes, added of either kind."""
    rows, tables, pictures = [], [], []
    for task in found["tasks"]:
        points = curves(select(found["cells"], task=task))
        paper = published.SCALING_SUCCESS if task == published.SCALING_TASK else {}
        lines = []
        for curve, by_size in points.items():
            for size, cells in by_size.items():
                value = paper.get(curve, {}).get(size)
                lines.append((LABELS[curve], str(size), *policy_texts(cells), percent(value)))
                keys = {"table": "success", "task": task, "curve": curve, "episodes": size}
                rate = rates.pooled(cells).row()
                rows.append(keys | rate | {"paper_success_rate": value} | smoothness(cells))
        columns = ("policy, its data", "episodes", *POLICY_COLUMNS, "paper (another simulator)")
        tables.append(Table(f"Success on {names.task(task)}", columns, lines))
        lines = _kinds(task, points, rows)
        if lines:
            columns = ("episodes", *rates.DIFFERENCE_COLUMNS, "each in the other's interval")
            title = f"GLAM-O on {names.task(task)}: target + auxiliary minus target alone"
            tables.append(Table(title, columns, lines))
        pictures += _pictures(task, points) + joint_pictures(_largest(points))
    note = (
        "All GLAM-O policies of a training seed use the one world model pretrained on the largest "
        "mix. The paper's success is on stack_two with 20 fixed starts."
    )
    return Report("Scaling with demonstrations", [note], tables, pictures, rows)


def curves(cells: Sequence[dict]) -> dict[str, dict[int, list[dict]]]:
    """Curve -> episodes in all -> records; both of GLAM-O start at the fewest target episodes."""
    policies = [cell for cell in cells if "policy" in cell]
    glam_o = select(policies, method="glam_o")
    least = min((next(iter(cell["sources"].values())) for cell in glam_o), default=0)
    mixed = [c for c in glam_o if len(c["sources"]) > 1 or sum(c["sources"].values()) == least]
    found = {
        published.MIP: select(policies, method="mip"),
        published.AUXILIARY: mixed,
        published.TARGET: [cell for cell in glam_o if len(cell["sources"]) == 1],
    }
    return {name: _by_size(having) for name, having in found.items() if having}


def _by_size(cells: Sequence[dict]) -> dict[int, list[dict]]:
    sizes = sorted({sum(cell["sources"].values()) for cell in cells})
    return {
        size: [cell for cell in cells if sum(cell["sources"].values()) == size] for size in sizes
    }


def _largest(points: dict) -> list[dict]:
    """The records of most episodes of MIP and of GLAM-O with auxiliary ones."""
    drawn = [points[c] for c in (published.MIP, published.AUXILIARY) if c in points]
    return [cell for by_size in drawn for cell in by_size[max(by_size)]]


def _kinds(task: str, points: dict, rows: list[dict]) -> list[tuple[str, ...]]:
    """Added auxiliary against added target episodes, at equal numbers of both."""
    auxiliary, target = (points.get(c, {}) for c in (published.AUXILIARY, published.TARGET))
    lines = []
    for size in sorted(set(auxiliary) & set(target)):
        if auxiliary[size] == target[size]:
            continue  # where both start
        gap = rates.difference(auxiliary[size], target[size])
        one, other = rates.pooled(auxiliary[size]), rates.pooled(target[size])
        within = _inside(one.value, other.bounds) and _inside(other.value, one.bounds)
        lines.append((str(size), *gap.texts(), "yes" if within else "no"))
        keys = {"table": "auxiliary minus target", "task": task, "episodes": size}
        rows.append(keys | gap.row() | {"each_in_the_others_interval": within})
    return lines


def _inside(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _pictures(task: str, points: dict) -> list[Picture]:
    """Success curves with intervals, and both smoothness scores, beside the paper's."""
    if not points:
        return []
    beside = task == published.SCALING_TASK
    success = {}
    for curve, by_size in points.items():
        bars = [rates.pooled(cells).bar for cells in by_size.values()]
        success[LABELS[curve]] = charts.Curve(list(by_size), *map(list, zip(*bars, strict=True)))
    success |= _paper(published.SCALING_SUCCESS, success) if beside else {}
    panels = {}
    for title, (key, theirs) in SCORES.items():
        panels[title] = {
            LABELS[curve]: charts.Curve(list(s), [rates.mean(cells, key) for cells in s.values()])
            for curve, s in points.items()
        }
        panels[title] |= _paper(theirs, panels[title]) if beside else {}
    axis = "training episodes"
    return [
        Picture(
            f"scaling_{task}",
            f"Success on {names.task(task)} against training episodes, 95% Wilson intervals",
            lambda path: charts.curves(path, {SUCCESS: success}, axis, rates=(SUCCESS,)),
        ),
        Picture(
            f"smoothness_{task}",
            f"Smoothness on {names.task(task)} against training episodes",
            lambda path: charts.curves(path, panels, axis),
        ),
    ]


def _paper(values: dict[str, dict[int, float]], ours: dict) -> dict[str, charts.Curve]:
    """The paper's curves, each in the colour of ours."""
    return {
        f"paper (another simulator): {LABELS[curve]}": charts.Curve(
            list(v), list(v.values()), reference=True, like=LABELS[curve]
        )
        for curve, v in values.items()
        if LABELS[curve] in ours
    }
