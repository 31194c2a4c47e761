"""Reports to files: beside a study's runs, and as the page of all results."""

import dataclasses
from collections.abc import Iterable, Sequence

from etils import epath

from glam_jax import files
from glam_jax.display.markdown import Report
from glam_jax.study.reports import summary, tables

METHOD = """`kinova_real` is a simulated stand-in for a real arm.

A success reads: successes / trials = rate ± standard deviation over training seeds (95% Wilson
interval). The trials of several training seeds use the same starts, so the interval shows the
uncertainty about the trained policies, and the standard deviation that of training. Differences are
in percentage points, with Newcombe's hybrid score interval in brackets. The decoded error is the
mean distance at the gripper between decoded and recorded actions of unseen robot episodes. The CSV
file has the unrounded numbers and also one-sided bounds, comparisons of trials from the same start
(Newcombe's paired interval, McNemar's exact test), smoothness scores, and errors of replayed
paths."""

INTRODUCTION = f"""# Results

`python -m glam_jax.report` makes this page from the summaries in `results/`. Everything was
measured in the simulation of this project. The paper measured its values on a real arm or in
another simulator, with other demonstrations. They are here for orientation; a difference between
them and ours is not a finding. [The method](concepts.md) explains GLAM-O and the others,
[studies](studies.md) how to repeat a study.

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
    make = tables.REPORTS.get(found["study"])
    if make is None:
        raise summary.SummaryError(
            f"study {found['study']!r} has no report; known: {', '.join(tables.REPORTS)}"
        )
    made = make(found)
    title = f"{made.title}, {found['scale']} scale"
    return dataclasses.replace(made, title=title, notes=[*made.notes, provenance(found)])


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
    """Writes docs/results.md, with its figures and CSV files in docs/results/, from summaries.

    Args:
      paths: files of summaries.
      docs: folder of the documentation.

    Raises:
      SummaryError: a file that is no summary.
    """
    docs = files.path(docs)
    found = {path: summary.read(path) for path in paths}
    reports = {path: report(one) for path, one in found.items()}
    order = list(tables.REPORTS)
    parts, written = [INTRODUCTION], set()
    for path in sorted(paths, key=lambda path: (order.index(found[path]["study"]), path.name)):
        made, start = reports[path], f"results/{path.stem}"
        for picture in made.pictures:
            written.add(picture.draw(docs / f"{start}_{picture.name}.png"))
        written.add(docs / f"{start}.csv")
        files.write_text(docs / f"{start}.csv", made.csv())
        parts.append(made.markdown(lambda name, start=start: f"{start}_{name}.png", level=2))
        parts.append(f"Summary: `{start}.json`. [All numbers as CSV]({start}.csv).\n")
    if not paths:
        parts.append(EMPTY)
    for pattern in ("*.png", "*.csv"):
        for old in set(files.find(docs / "results", pattern)) - written:
            files.remove(old)
    files.write_text(docs / "results.md", "\n".join(parts))
    return docs / "results.md"


def provenance(found: dict) -> str:
    """What was run, on what: seeds, episodes, devices, versions."""
    cells, whole = found["cells"], len(found["cells"]) + len(found["missing"])
    runs = f"{len(cells)} runs" if len(cells) == whole else f"{len(cells)} of {whole} runs"
    mixes = _each(
        " + ".join(f"{count} {source}" for source, count in cell["sources"].items())
        for cell in cells
    )
    versions = [
        f"{name} {_each(cell['packages'][name] for cell in cells)}" for name in ("jax", "mujoco")
    ]
    return (
        f"{runs} (training seeds: {_each(str(cell['seed']) for cell in cells)}) took "
        f"{sum(cell['minutes'] for cell in cells) / 60:.1f} hours on "
        f"{_each(cell['device'] for cell in cells)}. Training episodes: {mixes}. "
        f"Code {_each('`' + cell['git_revision'][:12] + '`' for cell in cells)}; "
        f"{', '.join(versions)}."
    )


def _each(values: Iterable[str]) -> str:
    """Every different value once, in order."""
    return ", ".join(sorted(set(values)))
