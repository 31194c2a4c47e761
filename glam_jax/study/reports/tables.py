"""The reports of the studies: which lines each has, and which pictures."""

from collections.abc import Callable, Mapping, Sequence

from scipy import stats

from glam_jax.display.markdown import Picture, Report, Table, number
from glam_jax.study.reports import names, pictures, published
from glam_jax.study.reports.lines import Line, table
from glam_jax.study.reports.rates import difference, mean, pooled, select

OURS = "glam_o"
NO_SOURCE = "none"  # variant of audit_sources without auxiliary episodes


def main_table(found: dict) -> Report:
    """Every method on every task, and GLAM-O against each other method."""
    lines = _lines(found, {"method": OURS}, published.SUCCESS)
    best = {task: paper[published.BEST_BASELINE] for task, paper in published.SUCCESS.items()}
    best = {task: best[task] for task in found["tasks"] if task in best}
    lines += [Line({"task": t, "method": published.BEST_BASELINE}, (), (), best[t]) for t in best]
    note = (
        "The paper measured stacking in another simulator and the other tasks on a real arm. Its "
        "values for GLAM, MIP and stack two are approximate. Success of its best baseline: "
        f"{', '.join(f'{names.task(task)} {rate:.0%}' for task, rate in best.items())}."
    )
    columns = {"task": "task", "method": "method"}
    drawn = [*pictures.by_task(found), *pictures.joint_commands(found["cells"])]
    return _report(found, "Success of every method", columns, lines, "GLAM-O", note, drawn)


def scaling(found: dict) -> Report:
    """MIP and GLAM-O against the number of episodes, added of either kind."""
    lines, rows, drawn = [], [], []
    for task in found["tasks"]:
        points = curves(select(found["cells"], task=task))
        paper = published.SCALING_SUCCESS if task == published.SCALING_TASK else {}
        for size in sorted({size for by_size in points.values() for size in by_size}):
            here = {curve: points.get(curve, {}).get(size, []) for curve in names.CURVES}
            mixed, target = here[published.AUXILIARY], here[published.TARGET]
            added = mixed if mixed != target else []  # both curves start from the same cells
            for curve, cells in here.items():
                keys = {"task": task, "curve": curve, "episodes": size}
                against = added if curve == published.TARGET else []
                lines.append(Line(keys, cells, against, paper.get(curve, {}).get(size)))
            values = [*map(pooled, here.values()), difference(added, target)]
            texts = [value.text() if value else "-" for value in values]
            rows.append([names.task(task), str(size), *texts])
        drawn += pictures.scaling(task, points)
    note = (
        "Success by the number of all training episodes. Target episodes are those of the robot, "
        "auxiliary ones those of the UMI gripper, without actions. All GLAM-O policies of a "
        "training seed use one world model, pretrained on the largest mix. The paper measured its "
        "values from 20 fixed starts in another simulator; its two curves of GLAM-O coincide."
    )
    against = names.CURVES[published.AUXILIARY]
    columns = ("task", "episodes", *names.CURVES.values(), "auxiliary minus target, points")
    shown = Table("", columns, rows)
    numbers = [row for line in lines for row in line.rows(against)]
    return Report("Scaling with demonstrations", [note], shown, drawn, numbers)


def fixed_views(found: dict) -> Report:
    """GLAM-O and MIP with the paper's two fixed cameras."""
    lines = _lines(found, {"method": OURS}, published.SUCCESS)
    note = (
        "The policies see the two fixed cameras alone, as those of the paper. Every policy of a "
        "task has as many updates."
    )
    columns = {"task": "task", "method": "method"}
    return _report(found, "Two fixed cameras", columns, lines, "GLAM-O", note)


def few_demonstrations(found: dict) -> Report:
    """GLAM-O and MIP by the number of robot demonstrations."""
    lines = _lines(found, {"method": OURS})
    note = "Every policy of a task has as many updates, and sees all cameras."
    columns = {"task": "task", "method": "method", "variant": "robot"}
    return _report(found, "Few robot demonstrations", columns, lines, "GLAM-O", note)


def audit_sources(found: dict) -> Report:
    """The audit's verdict on each auxiliary source beside what the source brings the policy."""
    rows, numbers, ranks = [], [], []
    for task in found["tasks"]:
        cells = select(found["cells"], task=task)
        without = select(cells, variant=NO_SOURCE)
        scored = []
        for variant in dict.fromkeys(cell["variant"] for cell in cells):
            here = select(cells, variant=variant)
            rate, gap = pooled(here), difference(here, without) if variant != NO_SOURCE else None
            audits = [one for cell in here for one in cell["audit"].values()]
            score = mean(one["score"] for one in audits)
            failed = {name for one in audits for name, part in one["gates"].items() if part < 0.5}
            fit = sum(one["fit"] for one in audits)
            rows.append(
                [
                    names.task(task),
                    names.variant(variant),
                    f"{fit} of {len(audits)}" if audits else "-",
                    number(score, 2),
                    ", ".join(sorted(failed)) or "-",
                    rate.text(),
                    gap.text() if gap else "-",
                ]
            )
            line = Line({"task": task, "variant": variant}, here, () if not gap else without)
            numbers += [
                row | {"audits": len(audits), "fit": fit, "audit_score": score}
                for row in line.rows("none")
            ]
            if audits:
                scored.append((score, rate.success_rate))
        if len(scored) > 2:
            rho = stats.spearmanr(*zip(*scored, strict=True)).statistic
            ranks.append(f"{names.task(task)} {rho:.2f} ({len(scored)} sources)")
    note = (
        "Each source with the same demonstrations of the robot; its episodes are in the world "
        "model's training too. Spearman's correlation of the audit's score with success: "
        f"{', '.join(ranks) or 'too few sources yet'}."
    )
    columns = (
        "task", "source", "fit", "score", "failed gates", "success", "minus no source, points",
    )  # fmt: skip
    return Report("What the audit foretells", [note], Table("", columns, rows), [], numbers)


def third_source(found: dict) -> Report:
    """GLAM-O with and without demonstrations of a third source."""
    lines = _lines(found, {"variant": "three_sources"}, published.THIRD_SOURCE)
    note = "GLAM-O with and without demonstrations of a third source, the clean simulated arm."
    columns = {"task": "task", "variant": "demonstrations"}
    return _report(found, "A third source", columns, lines, "three sources", note)


def ablations(found: dict) -> Report:
    """GLAM-O with one choice undone, by replay of each source and, if measured, by its policy."""
    lines = _lines(found, {"variant": "asymmetric"})
    note = (
        "GLAM-O with one choice of its world model undone. The paper reports these variants as "
        "failures, without numbers."
    )
    columns = {"task": "task", "variant": "world model"}
    return _report(found, "Ablations of the world model", columns, lines, "GLAM-O", note)


def replay(found: dict) -> Report:
    """Open-loop replay of decoded latents, by source, task and method."""
    note = (
        "The world model labels unseen episodes of each source with latents and decodes these to "
        "actions, which the arm executes open-loop."
    )
    columns = {"task": "task", "method": "method"}
    lines = _lines(found, {"method": OURS})
    return _report(found, "Replay across sources", columns, lines, "GLAM-O", note)


def tuning(found: dict) -> Report:
    """Every setting of every method, its defaults first, against GLAM-O's defaults."""
    lines = _lines(found, {"method": OURS, "variant": "defaults"})
    note = (
        "Each method with its defaults and with single changes of them. To pick a baseline's best "
        "setting from this table favours the baseline, because the same trials then pick it and "
        "measure it."
    )
    columns = {"task": "task", "method": "method", "variant": "setting"}
    return _report(found, "Tuning of every method", columns, lines, "GLAM-O's defaults", note)


REPORTS: dict[str, Callable[[dict], Report]] = {
    made.__name__: made
    for made in (
        main_table,
        fixed_views,
        few_demonstrations,
        scaling,
        audit_sources,
        third_source,
        ablations,
        replay,
        tuning,
    )
}


def curves(cells: Sequence[dict]) -> dict[str, dict[int, list[dict]]]:
    """Curve -> episodes in all -> records; both of GLAM-O start at the fewest target episodes."""
    cells = [cell for cell in cells if "policy" in cell]
    glam_o = select(cells, method=OURS)
    least = min((next(iter(cell["sources"].values())) for cell in glam_o), default=0)
    found = {
        published.MIP: select(cells, method="mip"),
        published.AUXILIARY: [c for c in glam_o if len(c["sources"]) > 1 or _episodes(c) == least],
        published.TARGET: [cell for cell in glam_o if len(cell["sources"]) == 1],
    }
    return {
        curve: {
            size: [cell for cell in here if _episodes(cell) == size]
            for size in sorted(set(map(_episodes, here)))
        }
        for curve, here in found.items()
        if here
    }


def _episodes(cell: dict) -> int:
    return sum(cell["sources"].values())


def _lines(
    found: dict, base: Mapping[str, str], paper: Mapping[str, Mapping[str, float]] | None = None
) -> list[Line]:
    """A line for each task, method and variant, each against the line that is the base.

    Args:
      base: method, variant or both of the base, else the line's own; its variant comes first.
      paper: task -> method or variant -> the rate that the paper reports.
    """
    lines = []
    for task in found["tasks"]:
        cells, rates = select(found["cells"], task=task), (paper or {}).get(task, {})
        for method in found["methods"]:
            first = base.get("variant", "")
            variants = {cell["variant"] for cell in select(cells, method=method)} or {first}
            for variant in sorted(variants, key=lambda name: (name != first, name)):
                keys = {"task": task, "method": method, "variant": variant}
                here = select(cells, method=method, variant=variant)
                against = select(cells, **{"method": method, "variant": variant} | base)
                value = rates.get(variant, rates.get(method))
                lines.append(Line(keys, here, () if here == against else against, value))
    return lines


def _report(
    found: dict,
    title: str,
    columns: Mapping[str, str],
    lines: Sequence[Line],
    against: str,
    note: str,
    drawn: Sequence[Picture] = (),
) -> Report:
    """A report of one table; if all is about one task, the title names it and no column does."""
    if len(found["tasks"]) == 1:
        title = f"{title} on {names.task(found['tasks'][0])}"
        columns = {key: heading for key, heading in columns.items() if key != "task"}
    rows = [row for line in lines for row in line.rows(against)]
    return Report(title, [note], table(columns, lines, against), drawn, rows)
