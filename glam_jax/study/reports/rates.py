"""Success rates of many cells, pooled and compared.

Records are those of `summary.record`. Pooled over training seeds, trials share their starts: the
pooled interval speaks of the trained policies at hand, mean and s.d. across seeds of the method.
"""

import dataclasses
import math
from collections.abc import Sequence

from glam_jax.evaluation import intervals

POLICY = "policy"  # the other measurements are the directions of a replay, as "umi_to_kinova"


@dataclasses.dataclass(frozen=True)
class Rate:
    """Successes of the trials of some cells.

    Attributes:
      successes, trials: summed over the cells.
      per_seed: the rate of each cell, in order.
    """

    successes: int
    trials: int
    per_seed: tuple[float, ...]

    @property
    def value(self) -> float:
        return self.successes / self.trials

    @property
    def bounds(self) -> tuple[float, float]:
        """95% Wilson interval of the pooled rate."""
        return intervals.wilson(self.successes, self.trials)

    @property
    def bar(self) -> tuple[float, float, float]:
        """The rate and its bounds, as a figure takes them."""
        return (self.value, *self.bounds)

    @property
    def spread(self) -> tuple[float, float]:
        """Mean and s.d. across training seeds; the latter nan for one."""
        return intervals.mean_and_sd(self.per_seed)

    def text(self) -> str:
        low, high = self.bounds
        count = f"{self.successes}/{self.trials}"
        return f"{count} = {self.value:.0%} ({100 * low:.0f} to {high:.0%})"

    def spread_text(self) -> str:
        mean, sd = self.spread
        return f"{mean:.0%}, one seed" if math.isnan(sd) else f"{100 * mean:.1f} ± {sd:.1%}"

    def row(self) -> dict:
        """For CSV."""
        (low, high), (mean, sd) = self.bounds, self.spread
        return {
            "successes": self.successes,
            "trials": self.trials,
            "success_rate": self.value,
            "wilson_low": low,
            "wilson_high": high,
            "training_seeds": len(self.per_seed),
            "mean_over_seeds": mean,
            "sd_over_seeds": sd,
        }


@dataclasses.dataclass(frozen=True)
class Difference:
    """One method's rate minus another's.

    Attributes:
      value: difference of the pooled rates.
      bounds: Newcombe's 95% interval. lower: one-sided 95% bound, which it exceeds.
      paired: the same for pairs of trials of one training seed on one start, None where cells have
        no trials in common. p: McNemar's exact two-sided p value of these, None likewise.
      pairs: how many there are.
    """

    value: float
    bounds: tuple[float, float]
    lower: float
    paired: tuple[float, float] | None
    p: float | None
    pairs: int

    @property
    def excludes_zero(self) -> bool:
        return not self.bounds[0] <= 0.0 <= self.bounds[1]

    def texts(self) -> tuple[str, str, str, str, str]:
        """Difference, two-sided interval, one-sided bound, paired interval, p value."""
        low, high = self.bounds
        return (
            f"{100 * self.value:+.0f}",
            f"{100 * low:+.0f} to {100 * high:+.0f}",
            f"{100 * self.lower:+.0f}",
            "-"
            if not self.paired
            else "{:+.0f} to {:+.0f}".format(*(100 * b for b in self.paired)),
            "-" if self.p is None else "< 0.001" if self.p < 0.001 else f"{self.p:.3f}",
        )

    def row(self) -> dict:
        """For CSV."""
        low, high = self.paired or (None, None)
        return {
            "difference": self.value,
            "newcombe_low": self.bounds[0],
            "newcombe_high": self.bounds[1],
            "newcombe_lower_one_sided": self.lower,
            "pairs": self.pairs,
            "paired_low": low,
            "paired_high": high,
            "mcnemar_p": self.p,
        }


DIFFERENCE_COLUMNS = (
    "difference, points", "95% interval", "at least (one-sided 95%)", "paired starts, 95%",
    "McNemar p",
)  # fmt: skip


def outcome(record: dict, what: str = POLICY) -> dict | None:
    """One measurement of a record: `POLICY`, or a direction of its replay; None without it."""
    return record.get("policy") if what == POLICY else record.get("replay", {}).get(what)


def pooled(records: Sequence[dict], what: str = POLICY) -> Rate | None:
    """The rate of all records that have a measurement, None if none has."""
    found = [one for one in (outcome(record, what) for record in records) if one]
    if not found:
        return None
    return Rate(
        sum(one["successes"] for one in found),
        sum(one["trials"] for one in found),
        tuple(one["successes"] / one["trials"] for one in found),
    )


def difference(
    records: Sequence[dict], others: Sequence[dict], what: str = POLICY
) -> Difference | None:
    """The records' rate minus the others', None if either has none."""
    one, other = pooled(records, what), pooled(others, what)
    if one is None or other is None:
        return None
    counts = (one.successes, one.trials, other.successes, other.trials)
    first, second = _paired(records, others, what)
    return Difference(
        one.value - other.value,
        intervals.newcombe(*counts),
        intervals.newcombe(*counts, confidence=0.9)[0],
        intervals.paired_newcombe(first, second) if first else None,
        intervals.mcnemar(first, second) if first else None,
        len(first),
    )


def mean(records: Sequence[dict], key: str) -> float:
    """Mean of a policy's value over the records that have it, nan if none has."""
    found = [(record.get("policy") or {}).get(key) for record in records]
    found = [value for value in found if value is not None]
    return sum(found) / len(found) if found else math.nan


def path_errors(records: Sequence[dict], what: str) -> list[float]:
    """Errors in mm of each replayed episode of all records that have them, see
    `evaluation.replay.path_errors`; those of diverged replays are nan."""
    found = [(outcome(record, what) or {}).get("path_errors_mm", ()) for record in records]
    return [math.nan if error is None else error for errors in found for error in errors]


def nearer(records: Sequence[dict], others: Sequence[dict], what: str) -> str:
    """In how many replayed episodes the records kept nearer to the path than the others after
    training from the same seed, with the p value of the exact sign test; "-" without pairs."""
    first, second = [], []
    for record, other in _same_training(records, others):
        ours, theirs = path_errors([record], what), path_errors([other], what)
        if len(ours) == len(theirs):
            pairs = list(zip(ours, theirs, strict=True))
            first += [a < b or (math.isnan(b) and not math.isnan(a)) for a, b in pairs]
            second += [b < a or (math.isnan(a) and not math.isnan(b)) for a, b in pairs]
    if not first:
        return "-"
    p = intervals.mcnemar(first, second)
    return f"{sum(first)} of {len(first)}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"


def _same_training(records, others) -> list[tuple[dict, dict]]:
    """Each record with the other of its task and training seed, where there is one."""
    by_seed = {(other["task"], other["seed"]): other for other in others}
    keys = [(record["task"], record["seed"]) for record in records]
    return [(r, by_seed[key]) for r, key in zip(records, keys, strict=True) if key in by_seed]


def _paired(records, others, what) -> tuple[list[int], list[int]]:
    """Outcomes of trials on the same start after training from the same seed."""
    first, second = [], []
    for record, partner in _same_training(records, others):
        one, other = outcome(record, what), outcome(partner, what)
        if not one or not other or one.get("first_seed") != other.get("first_seed"):
            continue
        if len(one["outcomes"]) == len(other["outcomes"]):
            first += map(int, one["outcomes"])
            second += map(int, other["outcomes"])
    return first, second
