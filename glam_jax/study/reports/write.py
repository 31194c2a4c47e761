"""Reports to files: beside a study's runs, and as the page of all results."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

from etils import epath

from glam_jax import files
from glam_jax.display.markdown import Report
from glam_jax.study.reports import names, scaling, summary, tables, tuning

REPORTS: dict[str, Callable[[dict], Report]] = {
    "main_table": tables.main_table,
    "scaling": scaling.scaling,
    "third_source": tables.third_source,
    "ablations": tables.ablations,
    "replay": tables.replay,
    "tuning": tuning.tuning,
}

METHOD = """Success is given with 95% Wilson intervals of all trials, and as mean and standard
deviation over training seeds. Differences have Newcombe's hybrid score interval, in percentage
points. "Paired starts" compares trials of one training seed on one start, by Newcombe's interval
for pairs and McNemar's exact test. Trials of several training seeds share their starts; how far a
method's trainings scatter is in the standard deviation, not in the intervals."""

INTRODUCTION = f"""# Results

This page is made by `python -m glam_jax.report` from the summaries in `results/`; no number on it
is typed by hand. Everything was measured in the simulation of this project, `kinova_real` included,
which only stands in for a real arm. The paper's values were measured elsewhere, on a real arm or in
another simulator, with demonstrations of its own: they stand beside ours for orientation, and no
difference to them is a finding.

{METHOD}
"""

EMPTY = """There are no results yet. To make some, run a study and add its summary:

    python -m glam_jax.study --config=configs/studies/main_table.py:quick
    python -m glam_jax.report --add=runs/studies/main_table_quick
"""


def report(found: dict) -> Report:
    """The report of a summary.

    Raises:
      SummaryError: a study that has no report.
    """
    make = REPORTS.get(found["study"])
    if make is None:
        raise summary.SummaryError(
            f"study {found['study']!r} has no report; known: {', '.join(REPORTS)}"
        )
    made = make(found)
    title = f"{made.title}, reduced" if found["quick"] else made.title
    return dataclasses.replace(made, title=title, notes=[provenance(found), *made.notes])


def study(found: dict, folder: epath.PathLike) -> str:
    """Writes report.md, report.csv, figures and summary.json into a study's folder.

    Args:
      found: see `summary.collect`.

    Returns:
      One line that says where they are, or that there is nothing to report.
    """
    folder = files.path(folder)
    files.write_json(folder / summary.SUMMARY, found)
    if not found["cells"]:
        return "Nothing to report yet."
    made = report(found)
    made = dataclasses.replace(made, notes=[*made.notes, METHOD])
    for picture in made.pictures:
        picture.draw(folder / f"{picture.name}.png")
    files.write_text(folder / "report.csv", made.csv())
    files.write_text(folder / "report.md", made.markdown(lambda name: f"{name}.png"))
    return f"Report: {folder / 'report.md'}"


def page(paths: Sequence[epath.Path], docs: epath.PathLike) -> epath.Path:
    """Writes docs/results.md, with its figures in docs/results/, from summaries.

    Args:
      paths: files of summaries, in order.
      docs: folder of the documentation.

    Raises:
      SummaryError: a file that is no summary.
    """
    docs = files.path(docs)
    parts, pictures = [INTRODUCTION], set()
    for path in paths:
        made = report(summary.read(path))
        for picture in made.pictures:
            pictures.add(picture.draw(docs / "results" / f"{path.stem}_{picture.name}.png"))
        parts.append(made.markdown(lambda name, p=path: f"results/{p.stem}_{name}.png", level=2))
        parts.append(f"From `results/{path.name}`.\n")
    if not paths:
        parts.append(EMPTY)
    for old in set(files.find(docs / "results", "*.png")) - pictures:
        files.remove(old)
    files.write_text(docs / "results.md", "\n".join(parts))
    return docs / "results.md"


def provenance(found: dict) -> str:
    """What was run, on what: scale, seeds, episodes, devices, revisions."""
    cells, missing = found["cells"], found["missing"]
    whole = (
        f"{len(cells)} cells"
        if not missing
        else f"{len(cells)} of {len(cells) + len(missing)} cells"
    )
    seeds = sorted({cell["seed"] for cell in cells})
    sources = [
        ", ".join(f"{count} {names.robot(source)}" for source, count in cell["sources"].items())
        for cell in cells
    ]
    hours = sum(cell["minutes"] for cell in cells) / 60
    parts = [
        f"{whole} at scale={found['scale']}, training seeds {', '.join(map(str, seeds))}",
        f"episodes learned from: {_counted(sources, 'cells')}",
        f"devices: {_counted([cell['device'] for cell in cells], 'cells')}",
        f"{hours:.1f} hours in all",
        "code " + ", ".join(sorted({f"`{cell['git_revision'][:12]}`" for cell in cells})),
        "versions "
        + ", ".join(
            f"{name} {'/'.join(sorted({cell['packages'][name] for cell in cells}))}"
            for name in summary.PACKAGES
        ),
    ]
    if any(cell["target"] == "kinova_real" for cell in cells):
        parts.append("kinova_real is simulated: it stands in for a real arm")
    return "; ".join(parts) + "."


def _counted(values: Sequence[str], unit: str) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({count} {unit})" for value, count in counts.items())
