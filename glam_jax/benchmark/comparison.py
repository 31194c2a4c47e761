"""Two benchmarks side by side, by their ratios to the fixed computation."""

from glam_jax.benchmark import machine
from glam_jax.benchmark.case import BenchmarkError
from glam_jax.display.markdown import Table

COLUMNS = ("measured", "ratio before", "ratio now", "change", "spread now", "")


def compare(old: dict, new: dict, tolerance: float) -> tuple[str, list[str]]:
    """Compares what two results measured, in the groups that the new ones are of.

    Args:
      old, new: as `record.read` gives them.
      tolerance: share by which a ratio may grow, 0.3 for 30%.

    Returns:
      A table, warnings (another machine, names that only one of both has) and a verdict, for the
      terminal; and the names of what got slower by more than the tolerance.

    Raises:
      BenchmarkError: they have no measurement in common, or the tolerance is negative.
    """
    if tolerance < 0:
        raise BenchmarkError(f"tolerance is {tolerance}; expected at least 0")
    before, now = _by_name(old), _by_name(new)
    if not (common := [name for name in now if name in before]):
        raise BenchmarkError(
            f"nothing to compare: of {len(before)} measurements before and {len(now)} now, "
            "none has the same name; were other groups or sizes asked for?"
        )
    rows, worse = [], []
    for name in common:
        was, ratio = before[name]["ratio"]["median"], now[name]["ratio"]
        change, verdict = ratio["median"] / was - 1, ""
        if ratio["median"] > was * (1 + tolerance):
            worse.append(name)
            verdict = "worse"
        elif change < -tolerance:
            verdict = "better"
        spread = (ratio["quartiles"][1] - ratio["quartiles"][0]) / ratio["median"]
        numbers = (f"{was:.3g}", f"{ratio['median']:.3g}", f"{change:+.0%}", f"{spread:.0%}")
        rows.append((name, *numbers, verdict))
    warnings = [
        f"another machine, ratios carry over roughly at best ({difference})"
        for difference in machine.differences(old["machine"], new["machine"])
    ]
    groups = {name.split("/")[0] for name in now}
    lost = [name for name in before if name not in now and name.split("/")[0] in groups]
    warnings += [f"measured before, not now: {name}" for name in lost]
    warnings += [f"measured now, not before: {name}" for name in now if name not in before]
    parts = [Table("Ratios to the fixed computation", COLUMNS, rows).markdown()]
    parts += [f"warning: {warning}" for warning in warnings]
    verdict = f"{len(rows)} compared, none worse by more than {tolerance:.0%}"
    if worse:
        verdict = f"worse by more than {tolerance:.0%}: {', '.join(worse)}"
    return "\n\n".join([*parts, verdict]), worse


def _by_name(results: dict) -> dict[str, dict]:
    return {row["name"]: row for row in results["measurements"] if "ratio" in row}
