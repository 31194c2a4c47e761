"""Two benchmarks side by side, by their ratios to the fixed computation."""

import dataclasses

from glam_jax.benchmark import machine
from glam_jax.benchmark.case import BenchmarkError
from glam_jax.display.markdown import Table

COLUMNS = ("measured", "ratio before", "ratio now", "change", "spread now", "")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What became of each measurement that both have.

    Attributes:
      lines: (name, ratio before, ratio now, interquartile range now over the median).
      tolerance: share by which a ratio may grow.
      warnings: in words: other machine, names that only one of both has.
    """

    lines: tuple[tuple[str, float, float, float], ...]
    tolerance: float
    warnings: tuple[str, ...]

    @property
    def worse(self) -> list[str]:
        """Names of what got slower by more than the tolerance."""
        return [name for name, old, new, _ in self.lines if new > old * (1 + self.tolerance)]

    def text(self) -> str:
        """A table, warnings and a verdict, for the terminal."""
        rows = [self._row(*line) for line in self.lines]
        parts = [Table("Ratios to the fixed computation", COLUMNS, rows).markdown()]
        parts += [f"warning: {warning}" for warning in self.warnings]
        worse, limit = self.worse, f"{self.tolerance:.0%}"
        parts.append(
            f"worse by more than {limit}: {', '.join(worse)}"
            if worse
            else f"{len(rows)} compared, none worse by more than {limit}"
        )
        return "\n\n".join(parts)

    def _row(self, name: str, old: float, new: float, spread: float) -> tuple[str, ...]:
        change = new / old - 1
        verdict = "worse" if name in self.worse else ""
        verdict = "better" if change < -self.tolerance else verdict
        return name, f"{old:.3g}", f"{new:.3g}", f"{change:+.0%}", f"{spread:.0%}", verdict


def compare(old: dict, new: dict, tolerance: float) -> Comparison:
    """Compares what two results measured, in the groups that the new ones are of.

    Args:
      old, new: as `record.read` gives them.
      tolerance: share by which a ratio may grow, 0.3 for 30%.

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
    warnings = [
        f"another machine, ratios carry over roughly at best ({difference})"
        for difference in machine.differences(old["machine"], new["machine"])
    ]
    groups = {name.split("/")[0] for name in now}
    lost = [name for name in before if name not in now and name.split("/")[0] in groups]
    added = [name for name in now if name not in before]
    warnings += [f"measured before, not now: {name}" for name in lost]
    warnings += [f"measured now, not before: {name}" for name in added]
    lines = [
        (name, before[name]["ratio"]["median"], now[name]["ratio"]["median"], _spread(now[name]))
        for name in common
    ]
    return Comparison(tuple(lines), tolerance, tuple(warnings))


def _by_name(results: dict) -> dict[str, dict]:
    return {row["name"]: row for row in results["measurements"] if "ratio" in row}


def _spread(row: dict) -> float:
    low, high = row["ratio"]["quartiles"]
    return (high - low) / row["ratio"]["median"]
