"""All groups of measurements, and how a choice of them is carried out."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
from etils import epath
from tqdm import tqdm

from glam_jax import files
from glam_jax.benchmark import (
    ceilings,
    clock,
    closed_loop,
    machine,
    page,
    record,
    side_by_side,
    simulation,
    startup,
    training,
)
from glam_jax.benchmark.case import BenchmarkError, Case, Sizes, Unavailable

GROUPS: dict[str, Callable[[Sizes], Iterator[Case]]] = {
    "stage1": functools.partial(training.cases, "pretrain"),
    "stage2": functools.partial(training.cases, "clone"),
    "data": training.batches,
    "relabel": training.relabellings,
    "render": simulation.renderings,
    "physics": simulation.physics,
    "evaluation": closed_loop.cases,
    "startup": startup.cases,
    "side_by_side": side_by_side.cases,
}
JSON, MARKDOWN = "benchmark.json", "benchmark.md"


def choose(names: Sequence[str]) -> list[str]:
    """Groups in their order; no names choose all.

    Raises:
      BenchmarkError: an unknown group; names the known ones.
    """
    if unknown := sorted(set(names) - GROUPS.keys()):
        raise BenchmarkError(f"unknown group {', '.join(unknown)}; known: {', '.join(GROUPS)}")
    return [name for name in GROUPS if not names or name in names]


def cases(groups: Sequence[str], sizes: Sizes, match: str = "") -> list[Case]:
    """What there is to measure of groups, in order; see `run`.

    Raises:
      BenchmarkError: no case's name matches, or `match` is no regular expression.
    """
    every = [case for name in groups for case in GROUPS[name](sizes)]
    try:
        found = [case for case in every if re.search(match, case.name)]
    except re.error as error:
        raise BenchmarkError(f"--match: {match!r} is no regular expression ({error})") from None
    if not found:
        names = "\n  ".join(case.name for case in every)
        raise BenchmarkError(f"--match: no case has {match!r} in its name; there are\n  {names}")
    return found


def run(
    groups: Sequence[str], sizes: Sizes, out: epath.PathLike, about: dict, match: str = ""
) -> dict:
    """Measures groups and writes benchmark.json and benchmark.md, anew after each measurement.

    Args:
      groups: as of `choose`. sizes: what of each.
      out: folder of both files.
      about: what else to write down, such as a revision.
      match: regular expression that a case's name has somewhere.

    Returns:
      What benchmark.json holds: `format`, `machine`, `about`, `groups`, `ceilings`,
      `reference` (what the fixed computation is), `measurements` (see `record.row`).

    Raises:
      BenchmarkError: see `cases`.
    """
    chosen = cases(groups, sizes, match)
    limits = ceilings.measure()
    results = {
        "format": record.FORMAT,
        "machine": machine.describe(),
        "about": about,
        "groups": list(groups),
        "ceilings": limits,
        "reference": ceilings.REFERENCE,
        "measurements": [],
    }
    for found in measured(chosen, sizes, limits):
        results["measurements"].append(found)
        files.write_json(files.path(out) / JSON, results)
        files.write_text(files.path(out) / MARKDOWN, page.markdown(results))
    return results


def measured(cases: Iterable[Case], sizes: Sizes, limits: dict) -> Iterator[dict]:
    """A row of each case: measured, or why it could not be."""
    with tqdm(cases, desc="measuring", unit="case") as bar:
        for case in bar:
            bar.set_postfix_str(case.name)
            try:
                yield measure(case, sizes, limits)
            except Unavailable as error:
                yield record.failed(case, str(error))
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                yield record.failed(case, "out of memory")


def measure(case: Case, sizes: Sizes, limits: dict) -> dict:
    """One measurement, beside its rival or the fixed computation; see `record.row`."""
    work = case.make()
    timing = clock.repeat(
        work.run,
        repeats=min(sizes.repeats, work.repeats or sizes.repeats),
        limit_s=sizes.limit_s,
        warm_up=work.warm_up,
        reference=work.rival or ceilings.reference(),
    )
    return record.row(case, work, timing, limits)
