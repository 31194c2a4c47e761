"""Success rates of many cells, pooled and compared.

Records are those of `summary.record`. Pooled over training seeds, trials share their starts: the
pooled interval speaks of the trained policies at hand, mean and s.d. across seeds of the method.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

from glam_jax.evaluation import intervals

POLICY = "policy"  # the other measurements are the directions of a replay, as "umi_to_kinova"


@dataclasses.dataclass(frozen=True)
class Rate:
    """Successes of the trials of some cells; the fields are columns of the CSV.

    Attributes:
      successes, trials: summed over the cells. success_rate: of these, with its 95% Wilson
        interval.
      training_seeds: how many cells there are. mean_over_seeds, sd_over_seeds: of their rates; the
        latter is nan for one.
    """

    successes: int
    trials: int
    success_rate: float
    wilson_low: float
    wilson_high: float
    training_seeds: int
    mean_over_seeds: float
    sd_over_seeds: float

    @property
    def bar(self) -> tuple[float, float, float]:
        """The rate and its interval, as charts take it."""
        return self.success_rate, self.wilson_low, self.wilson_high

    def text(self) -> str:
        """Counts, rate, s.d. across training seeds if there are several, and interval."""
        value, low, high = (100 * bound for bound in self.bar)
        spread = "" if math.isnan(self.sd_over_seeds) else f" ± {100 * self.sd_over_seeds:.0f}"
        return f"{self.successes}/{self.trials} = {value:.0f}{spread}% ({low:.0f}–{high:.0f}%)"


@dataclasses.dataclass(frozen=True)
class Difference:
    """One method's rate minus another's; the fields are columns of the CSV.

    Attributes:
      difference: of the pooled rates, with Newcombe's 95% interval and the one-sided 95% bound
        that it exceeds.
      pairs: how many trials have a partner after training from the same seed, on the same start.
      paired_low, paired_high: Newcombe's 95% interval for pairs; None without pairs.
      mcnemar_p: McNemar's exact two-sided p value of the pairs; None without.
    """

    difference: float
    newcombe_low: float
    newcombe_high: float
    newcombe_lower_one_sided: float
    pairs: int
    paired_low: float | None
    paired_high: float | None
    mcnemar_p: float | None

    def text(self) -> str:
        """Difference and two-sided interval, in percentage points."""
        values = self.difference, self.newcombe_low, self.newcombe_high
        return "{:+.0f} ({:+.0f} to {:+.0f})".format(*(100 * value for value in values))


def select(cells: Sequence[dict], **values) -> list[dict]:
    """The records whose values are those given."""
    return [c for c in cells if all(c[key] == value for key, value in values.items())]


def measured(cells: Sequence[dict]) -> list[str]:
    """What any of the records measured: the policy, then the directions of replay."""
    found = [POLICY] if any("policy" in cell for cell in cells) else []
    return found + list(dict.fromkeys(key for cell in cells for key in cell.get("replay", {})))


def outcome(record: dict, what: str = POLICY) -> dict | None:
    """One measurement of a record: `POLICY`, or a direction of its replay; None without it."""
    return record.get("policy") if what == POLICY else record.get("replay", {}).get(what)


def pooled(records: Sequence[dict], what: str = POLICY) -> Rate | None:
    """The rate of all records that have a measurement, None if none has."""
    found = [one for one in (outcome(record, what) for record in records) if one]
    if not found:
        return None
    successes, trials = (sum(one[key] for one in found) for key in ("successes", "trials"))
    spread = intervals.mean_and_sd([one["successes"] / one["trials"] for one in found])
    bounds = intervals.wilson(successes, trials)
    return Rate(successes, trials, successes / trials, *bounds, len(found), *spread)


def difference(
    records: Sequence[dict], others: Sequence[dict], what: str = POLICY
) -> Difference | None:
    """The records' rate minus the others', None if either has none."""
    one, other = pooled(records, what), pooled(others, what)
    if one is None or other is None:
        return None
    counts = (one.successes, one.trials, other.successes, other.trials)
    first, second = [], []
    for ours, theirs in _same_training(records, others, what):
        alike = ours.get("first_seed") == theirs.get("first_seed")
        if alike and len(ours["outcomes"]) == len(theirs["outcomes"]):
            first += map(int, ours["outcomes"])
            second += map(int, theirs["outcomes"])
    return Difference(
        one.success_rate - other.success_rate,
        *intervals.newcombe(*counts),
        intervals.newcombe(*counts, confidence=0.9)[0],
        len(first),
        *(intervals.paired_newcombe(first, second) if first else (None, None)),
        intervals.mcnemar(first, second) if first else None,
    )


def errors(cells: Sequence[dict], what: str) -> dict:
    """Means over cells, nan where none has them, for CSV: error of the target's held-out actions
    when decoded; of a policy, scores of smoothness; of a replay, mm off the episodes' paths, see
    `evaluation.replay.path_errors`."""
    stage = "stage2" if what == POLICY else "stage1"
    decoded = {"decoded_error_mm": mean(cell["decoded_mm"].get(stage) for cell in cells)}
    if what != POLICY:
        off = [(outcome(cell, what) or {}).get("path_errors_mm", ()) for cell in cells]
        diverged = any(error is None for one in off for error in one)
        return decoded | {
            "path_error_mm": math.nan if diverged else mean(error for one in off for error in one)
        }
    return decoded | {f"{kind}_score": smoothness(cells, kind) for kind in ("jerk", "fft")}


def smoothness(cells: Sequence[dict], kind: str) -> float:
    """Mean "jerk" or "fft" score of the cells' policies, nan if none has one."""
    return mean((cell.get("policy") or {}).get(f"{kind}_smoothness") for cell in cells)


def mean(values) -> float:
    """Mean of the values that are not None, nan if there are none."""
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else math.nan


def nearer(records: Sequence[dict], others: Sequence[dict], what: str) -> dict:
    """In how many replayed episodes the records kept nearer to the path than the others after
    training from the same seed, with the p value of the exact sign test; for CSV."""
    first, second = [], []
    for pair in _same_training(records, others, what):
        paths = [one.get("path_errors_mm", ()) for one in pair]
        ours, theirs = ([math.inf if error is None else error for error in one] for one in paths)
        if len(ours) == len(theirs):
            first += [a < b for a, b in zip(ours, theirs, strict=True)]
            second += [b < a for a, b in zip(ours, theirs, strict=True)]
    if not first:
        return {}
    p = intervals.mcnemar(first, second)
    return {"nearer_to_the_path": sum(first), "of_replays": len(first), "sign_test_p": p}


def _same_training(records, others, what: str) -> Iterator[tuple[dict, dict]]:
    """A measurement of each record with that of the other of its task and training seed."""
    by_seed = {(other["task"], other["seed"]): other for other in others}
    for record in records:
        other = by_seed.get((record["task"], record["seed"]), {})
        if (ours := outcome(record, what)) and (theirs := outcome(other, what)):
            yield ours, theirs
