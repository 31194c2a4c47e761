"""Tuning: each method with its defaults and with changes of them."""

from glam_jax.display import charts
from glam_jax.display.markdown import Picture, Report, Table
from glam_jax.study.reports import names, rates
from glam_jax.study.reports.tables import (
    BASELINES,
    OURS,
    POLICY_COLUMNS,
    policy_texts,
    select,
    smoothness,
)

DEFAULTS = "defaults"
NOTE = (
    "The best setting of a baseline is chosen by the very trials that it is compared on, which "
    "favours the baseline; GLAM-O is compared with its defaults."
)


def tuning(found: dict) -> Report:
    """Every setting of every method, and GLAM-O's defaults against the best of each baseline."""
    rows, tables, pictures = [], [], []
    for task in found["tasks"]:
        cells, lines, gaps, bars = select(found["cells"], task=task), [], [], {}
        ours = select(cells, method=OURS, variant=DEFAULTS)
        for method in found["methods"]:
            settings = by_setting(select(cells, method=method))
            for variant, here in settings.items():
                lines.append((names.method(method), names.variant(variant), *policy_texts(here)))
                keys = {"table": "success", "task": task, "method": method, "variant": variant}
                rows.append(keys | rates.pooled(here).row() | smoothness(here))
                own = bars.setdefault(names.method(method), {})
                own[names.variant(variant)] = rates.pooled(here).bar
            if method not in BASELINES or not settings:
                continue
            variant, best = max(settings.items(), key=lambda item: rates.pooled(item[1]).value)
            if gap := rates.difference(ours, best):
                gaps.append((f"{names.method(method)}: {names.variant(variant)}", *gap.texts()))
                keys = {"table": "glam_o's defaults minus the best", "task": task}
                rows.append(keys | {"method": method, "variant": variant} | gap.row())
        title = f"Settings on {names.task(task)}"
        tables.append(Table(title, ("method", "setting", *POLICY_COLUMNS), lines))
        if gaps:
            columns = ("GLAM-O minus the best of", *rates.DIFFERENCE_COLUMNS)
            tables.append(Table(f"Differences of success on {names.task(task)}", columns, gaps))
        if bars:
            pictures.append(_picture(task, bars))
    return Report("Tuning of every method", [NOTE], tables, pictures, rows)


def by_setting(cells: list[dict]) -> dict[str, list[dict]]:
    """The records of a method by their setting, its defaults first."""
    variants = sorted({cell["variant"] for cell in cells}, key=lambda v: (v != DEFAULTS, v))
    return {variant: select(cells, variant=variant) for variant in variants}


def _picture(task: str, bars: dict[str, dict[str, tuple]]) -> Picture:
    caption = f"Settings of each method on {names.task(task)}, 95% Wilson intervals"
    return Picture(f"success_{task}", caption, lambda path: charts.named_bars(path, bars))
