"""Main table, third source, ablations and replay: rates of cells side by side."""

import functools
from collections.abc import Sequence

from glam_jax.display import charts
from glam_jax.display.markdown import Picture, Report, Table, number, percent
from glam_jax.evaluation import joints
from glam_jax.study.reports import names, published, rates

OURS = "glam_o"
BASELINES = ("lapa_o", "lapa", "clam_o", "clam", "mip")


def select(cells: Sequence[dict], **values) -> list[dict]:
    """The records whose values are those given."""
    return [c for c in cells if all(c[key] == value for key, value in values.items())]


def main_table(found: dict) -> Report:
    """Every method on every task, and GLAM-O against each other method."""
    cells, rows, tables = found["cells"], [], []
    for task in found["tasks"]:
        lines = []
        for method in found["methods"]:
            here = select(cells, task=task, method=method)
            paper = published.SUCCESS.get(task, {}).get(method)
            lines.append((names.method(method), *policy_texts(here), percent(paper)))
            if rate := rates.pooled(here):
                rows.append(
                    {"table": "success", "task": task, "method": method}
                    | rate.row()
                    | {"paper_success_rate": paper}
                    | smoothness(here)
                )
        lines.append(_best_baseline(cells, task))
        where = published.SETTING.get(task, "another simulator")
        columns = ("method", *POLICY_COLUMNS, f"paper ({where})")
        tables.append(Table(f"Success on {names.task(task)}", columns, lines))
    lines = []
    for task in found["tasks"]:
        ours = select(cells, task=task, method=OURS)
        for method in [m for m in found["methods"] if m != OURS]:
            gap = rates.difference(ours, select(cells, task=task, method=method))
            if gap:
                lines.append((names.task(task), names.method(method), *gap.texts()))
                keys = {"table": "glam_o minus", "task": task, "method": method}
                rows.append(keys | gap.row())
    if lines:
        columns = ("task", "GLAM-O minus", *rates.DIFFERENCE_COLUMNS)
        tables.append(Table("Differences of success", columns, lines))
    pictures = [*_bars(found), *joint_pictures(cells)]
    return Report("Methods", [APPROXIMATE], tables, pictures, rows)


def third_source(found: dict) -> Report:
    """GLAM-O with and without demonstrations of a third source."""
    rows, lines, gaps = [], [], []
    for task in found["tasks"]:
        here = {v: select(found["cells"], task=task, variant=v) for v in THIRD}
        papers = published.THIRD_SOURCE.get(task, (None, None))
        for (variant, cells), paper in zip(here.items(), papers, strict=True):
            shown = (names.task(task), names.variant(variant))
            lines.append((*shown, *policy_texts(cells), percent(paper)))
            if rate := rates.pooled(cells):
                keys = {"table": "success", "task": task, "variant": variant}
                rows.append(keys | rate.row() | {"paper_success_rate": paper} | smoothness(cells))
        if gap := rates.difference(here["three_sources"], here["two_sources"]):
            gaps.append((names.task(task), *gap.texts()))
            rows.append({"table": "three minus two sources", "task": task} | gap.row())
    columns = ("task", "demonstrations", *POLICY_COLUMNS, "paper (a real arm)")
    tables = [Table("Success with a third source", columns, lines)]
    if gaps:
        columns = ("task", *rates.DIFFERENCE_COLUMNS)
        tables.append(Table("Three sources minus two", columns, gaps))
    marks = {
        names.variant(variant): [
            published.THIRD_SOURCE.get(task, (None, None))[index] for task in found["tasks"]
        ]
        for index, variant in enumerate(THIRD)
    }
    bars = {
        names.variant(v): [_bar(select(found["cells"], task=t, variant=v)) for t in found["tasks"]]
        for v in THIRD
    }
    return Report("A third source", [], tables, _picture(found, bars, marks), rows)


def ablations(found: dict) -> Report:
    """GLAM-O with one choice undone, by replay of each source and, if measured, by its policy."""
    rows, tables, pictures = [], [], []
    variants = [v for v in ABLATIONS if select(found["cells"], variant=v)]
    for task in found["tasks"]:
        cells = select(found["cells"], task=task)
        for what in measured(cells):
            lines, base = [], select(cells, variant=ABLATIONS[0])
            for variant in variants:
                here = select(cells, variant=variant)
                if not (rate := rates.pooled(here, what)):
                    continue
                gap = None if variant == ABLATIONS[0] else rates.difference(base, here, what)
                texts = gap.texts() if gap else ("-",) * len(rates.DIFFERENCE_COLUMNS)
                nearer = rates.nearer(base, here, what) if gap else "-"
                shown = (names.variant(variant), rate.text(), rate.spread_text())
                lines.append((*shown, *errors(here, what), *texts, nearer))
                keys = {"task": task, "measured": what, "variant": variant}
                off = {"path_error_mm": _path_mm(here, what)}
                rows.append(keys | rate.row() | off | (gap.row() if gap else {}))
            title = f"{names.task(task).capitalize()}, {_measured_text(what)}"
            columns = (
                "world model", *RATE_COLUMNS, *ERROR_COLUMNS,
                "GLAM-O minus it, points", *rates.DIFFERENCE_COLUMNS[1:],
                "GLAM-O nearer to the path",
            )  # fmt: skip
            tables.append(Table(title, columns, lines))
        series = {names.variant(v): {"variant": v} for v in variants}
        pictures += _replay_picture(task, cells, series)
    note = (
        "The paper reports symmetric alignment, none, and an action loss on the inverse dynamics "
        "model as failures; its text has no numbers to set beside these."
    )
    return Report("Ablations of the world model", [note], tables, pictures, rows)


def replay(found: dict) -> Report:
    """Open-loop replay of decoded latents, by source, task and method."""
    rows, tables, pictures = [], [], []
    for task in found["tasks"]:
        cells, lines = select(found["cells"], task=task), []
        for method in found["methods"]:
            here = select(cells, method=method)
            for what in measured(here):
                rate = rates.pooled(here, what)
                shown = (names.method(method), names.direction(what))
                lines.append((*shown, rate.text(), rate.spread_text(), *errors(here, what)))
                keys = {"task": task, "method": method, "measured": what}
                rows.append(keys | rate.row() | {"path_error_mm": _path_mm(here, what)})
        columns = ("method", "episodes of, replayed on", *RATE_COLUMNS, *ERROR_COLUMNS)
        tables.append(Table(f"Replay on {names.task(task)}", columns, lines))
        shown = {names.method(m): {"method": m} for m in found["methods"]}
        pictures += _replay_picture(task, cells, shown)
    return Report("Replay across sources", [], tables, pictures, rows)


# --- Parts --------------------------------------------------------------------------------

APPROXIMATE = (
    "Of the paper's values, those of GLAM, of MIP and of stack_two are approximate. A motion is "
    "smoother the less negative its jerk score and the lower its FFT score."
)
THIRD = ("two_sources", "three_sources")
ABLATIONS = ("asymmetric", "symmetric", "unaligned", "action_loss_on_idm")
RATE_COLUMNS = ("success (95% interval)", "mean ± s.d. of seeds")
# Of the target's held-out actions; of replayed end effectors from the episodes' paths.
ERROR_COLUMNS = ("decoded error, mm", "off the path, mm")
POLICY_COLUMNS = (*RATE_COLUMNS, "jerk score", "FFT score", "decoded error, mm")


def measured(cells: Sequence[dict]) -> list[str]:
    """What any of the records measured: the policy, then the directions of replay."""
    found = [rates.POLICY] if any("policy" in cell for cell in cells) else []
    return found + list(dict.fromkeys(key for cell in cells for key in cell.get("replay", {})))


def _measured_text(what: str) -> str:
    return "closed loop" if what == rates.POLICY else f"replay {names.direction(what)}"


def policy_texts(cells: Sequence[dict]) -> tuple[str, ...]:
    """The columns `POLICY_COLUMNS` of some cells."""
    rate = rates.pooled(cells)
    if rate is None:
        return ("not run", "-", "-", "-", "-")
    jerk, fft = (rates.mean(cells, f"{score}_smoothness") for score in ("jerk", "fft"))
    error = number(_decoded_mm(cells, "stage2"), 1)
    return rate.text(), rate.spread_text(), number(jerk, 1), number(fft, 3), error


def errors(cells: Sequence[dict], what: str) -> tuple[str, str]:
    """The columns `ERROR_COLUMNS` of some cells."""
    return number(_decoded_mm(cells, "stage1"), 1), number(_path_mm(cells, what), 1)


def _path_mm(cells: Sequence[dict], what: str) -> float:
    """Mean distance of replays from the episodes' paths."""
    found = rates.path_errors(cells, what)
    return sum(found) / len(found) if found else float("nan")


def joint_pictures(cells: Sequence[dict]) -> list[Picture]:
    """For each task, commands of the policies that kept them, against the expert's."""
    pictures = []
    for task in dict.fromkeys(cell["task"] for cell in cells):
        kept = [cell for cell in select(cells, task=task) if "joints" in cell]
        if not kept:
            continue
        hz, expert = kept[0]["joints"]["hz"], kept[0]["joints"]["expert"]
        series, ends = {joints.EXPERT: expert}, []
        for cell in kept:
            label = names.method(cell["method"])
            series[label] = cell["joints"]["policy"]
            ends.append(f"{label} {'succeeded' if cell['joints']['success'] else 'failed'}")
        caption = (
            f"Commands on {names.task(task)} from the first start, training seed "
            f"{kept[0]['seed']}, against the expert's; {', '.join(ends)}"
        )
        draw = functools.partial(
            charts.joint_trajectories, hz=hz, series=series, reference=joints.EXPERT
        )
        pictures.append(Picture(f"joints_{task}", caption, draw))
    return pictures


def smoothness(cells: Sequence[dict]) -> dict:
    """Mean scores and decoded error of some cells' policies, for CSV."""
    return {
        "jerk_score": rates.mean(cells, "jerk_smoothness"),
        "fft_score": rates.mean(cells, "fft_smoothness"),
        "decoded_error_mm": _decoded_mm(cells, "stage2"),
    }


def _decoded_mm(cells: Sequence[dict], stage: str) -> float:
    found = [cell["decoded_mm"][stage] for cell in cells if stage in cell["decoded_mm"]]
    return sum(found) / len(found) if found else float("nan")


def _bar(cells: Sequence[dict], what: str = rates.POLICY) -> tuple[float, float, float] | None:
    rate = rates.pooled(cells, what)
    return rate.bar if rate else None


def _best_baseline(cells: Sequence[dict], task: str) -> tuple[str, ...]:
    """The row of the best method that is not GLAM's."""
    paper = percent(published.SUCCESS.get(task, {}).get(published.BEST_BASELINE))
    found = [(m, select(cells, task=task, method=m)) for m in BASELINES]
    found = [(m, here) for m, here in found if rates.pooled(here)]
    label = published.BEST_BASELINE
    if not found:
        return (label, *policy_texts([]), paper)
    method, here = max(found, key=lambda item: rates.pooled(item[1]).value)
    return (f"{label}: {names.method(method)}", *policy_texts(here), paper)


def _bars(found: dict) -> list[Picture]:
    tasks, methods = found["tasks"], found["methods"]
    bars = {
        names.method(m): [_bar(select(found["cells"], task=t, method=m)) for t in tasks]
        for m in methods
    }
    marks = {names.method(m): [published.SUCCESS.get(t, {}).get(m) for t in tasks] for m in methods}
    return _picture(found, bars, marks)


def _picture(found: dict, bars: dict, marks: dict) -> list[Picture]:
    """Success by task, if there is any bar to draw."""
    there = {label: values for label, values in bars.items() if any(values)}
    if not there:
        return []
    tasks = [names.task(task) for task in found["tasks"]]
    marks = {label: marks[label] for label in there}
    caption = (
        "Success with 95% Wilson intervals; diamonds are the paper's values, not measured here"
    )

    def draw(path):
        return charts.grouped_bars(path, tasks, there, marks, "paper (other robots)")

    return [Picture("success", caption, draw)]


def _replay_picture(task: str, cells: Sequence[dict], series: dict[str, dict]) -> list[Picture]:
    """Replay by direction, one bar for each series of records."""
    what = [one for one in measured(cells) if one != rates.POLICY]
    bars = {
        label: [_bar(select(cells, **which), one) for one in what]
        for label, which in series.items()
    }
    bars = {label: values for label, values in bars.items() if any(values)}
    if not bars:
        return []

    def draw(path):
        groups = [names.direction(one) for one in what]
        return charts.grouped_bars(path, groups, bars, {}, "", "replay success")

    return [Picture(f"replay_{task}", f"Replay on {names.task(task)}, 95% Wilson intervals", draw)]
