"""What a demonstration is worth: how many auxiliary ones replace one of the target, at what cost.

Read off the two curves of GLAM-O in a scaling study, which start from the same cells with the
fewest target episodes n0. With success T(n) of n target episodes, and A(m) of n0 and m auxiliary
ones, both made monotone and linear between what was measured,

    T(n0 + e(m)) = A(m),    rate(m) = m / e(m)

so that m auxiliary episodes bring what e(m) more target episodes do.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize

from glam_jax.display.markdown import Table
from glam_jax.study.grid import StudyError
from glam_jax.study.reports import names, published, rates, tables

DRAWS = 2000  # of the bootstrap
Curve = Mapping[int, Sequence[dict]]  # episodes in all -> records


@dataclasses.dataclass(frozen=True)
class Costs:
    """What is to be reckoned with.

    Attributes:
      target, auxiliary: cost of one demonstration of each, in the same unit.
      wanted: the success rate for which the cheapest mix is looked for.
    """

    target: float
    auxiliary: float
    wanted: float


def costs(study: str, target: float | None, auxiliary: float | None, wanted: float) -> Costs | None:
    """The costs of a command, None if it gives none.

    Args:
      study: the name of its study.

    Raises:
      StudyError: one cost without the other, one that is not above 0, a wanted success that is not
        between 0 and 1, or costs for a study that is not about numbers of demonstrations.
    """
    given = {"target_cost": target, "auxiliary_cost": auxiliary}
    if all(cost is None for cost in given.values()):
        return None
    if study != "scaling":
        raise StudyError(f"target_cost and auxiliary_cost are of study scaling, not of {study}")
    for name, cost in given.items():
        if cost is None:
            raise StudyError(f"{name} is not given; both costs are needed")
        if not (math.isfinite(cost) and cost > 0):
            raise StudyError(f"{name} is {cost:g}; expected a number above 0")
    if not 0 < wanted < 1:
        raise StudyError(f"wanted is {wanted:g}; expected a success rate between 0 and 1")
    return Costs(target, auxiliary, wanted)


@dataclasses.dataclass(frozen=True)
class Worth:
    """What so many auxiliary episodes are worth.

    Attributes:
      auxiliary: m. success: measured.
      equivalent, low, high: e(m), target episodes that bring as much, and its 95% interval. Equal
        to `most`, the most that were added, where as much or more would be needed.
      pays: whether those that were added since the point before cost less than the target's.
    """

    auxiliary: int
    success: float
    equivalent: float
    low: float
    high: float
    most: int
    pays: bool

    def rate_text(self) -> str:
        """How many auxiliary episodes replace one of the target, with the interval."""
        low, high = (self._rate(bound) for bound in (self.high, self.low))
        return f"{self._rate(self.equivalent)} ({low} to {high})"

    def _rate(self, equivalent: float) -> str:
        if equivalent <= 0:
            return "any number"
        rate = f"{self.auxiliary / equivalent:.1f}"
        return f"at most {rate}" if equivalent >= self.most else rate


def report(found: dict, costs: Costs) -> str:
    """Markdown: the exchange rate at each point, where it stops paying, the cheapest mix.

    Args:
      found: summary of a scaling study.
    """
    parts = [
        f"One demonstration of the robot costs {costs.target:g}, one of the auxiliary source "
        f"{costs.auxiliary:g}. Intervals are 95% by bootstrap over training seeds and starts."
    ]
    for task in found["tasks"]:
        points = tables.curves(rates.select(found["cells"], task=task))
        parts.append(_of_task(task, points, costs))
    return "\n\n".join(parts)


def worths(auxiliary: Curve, target: Curve, costs: Costs) -> list[Worth]:
    """What auxiliary episodes are worth at each measured number of them.

    Args:
      auxiliary, target: curves of GLAM-O from the same fewest episodes.
    """
    least, *more = sorted(auxiliary)
    measured = _equivalent(*_curves(auxiliary, target))
    rng = np.random.default_rng(0)
    drawn = [_equivalent(*_curves(auxiliary, target, rng)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    most = max(target) - least
    made, before = [], (0, 0.0)
    for i, size in enumerate(more):
        added = size - least - before[0], measured[i] - before[1]
        made.append(
            Worth(
                size - least,
                rates.pooled(auxiliary[size]).success_rate,
                float(measured[i]),
                float(low[i]),
                float(high[i]),
                most,
                pays=bool(added[0] * costs.auxiliary < added[1] * costs.target),
            )
        )
        before = size - least, measured[i]
    return made


def cheapest(auxiliary: Curve, target: Curve, costs: Costs) -> str:
    """The cheaper of both curves' mixes for the wanted success, in words.

    Mixes with more of both kinds than the fewest were not measured.
    """
    extra, reached = _curves(auxiliary, target)
    least, options = min(target), []
    sizes, rate = reached
    if rate[-1] >= costs.wanted:
        count = math.ceil(_first(sizes, rate, costs.wanted))
        options.append((count * costs.target, f"{count} of the robot alone"))
    sizes, rate = extra
    if rate[-1] >= costs.wanted:
        count = math.ceil(_first(sizes, rate, costs.wanted)) - least
        cost = least * costs.target + count * costs.auxiliary
        options.append((cost, f"{least} of the robot and {count} of the auxiliary source"))
    if not options:
        best = max(extra[1][-1], reached[1][-1])
        return f"No measured mix reaches {costs.wanted:.0%}; the best has {best:.0%}."
    words = [f"{what} cost {cost:g}" for cost, what in sorted(options)]
    return f"For a success of {costs.wanted:.0%}, {'; '.join(words)}."


def _of_task(task: str, points: Mapping[str, Curve], costs: Costs) -> str:
    curves = points.get(published.AUXILIARY, {}), points.get(published.TARGET, {})
    name = names.task(task)
    if min(map(len, curves)) < 2 or min(curves[0]) != min(curves[1]):
        return f"{name}: the cells of both curves of GLAM-O are not done yet."
    found = worths(*curves, costs)
    columns = ("auxiliary", "success", "target that bring as much", "auxiliary for one of target")
    rows = [
        (
            str(one.auxiliary),
            f"{one.success:.0%}",
            f"{one.equivalent:.0f} ({one.low:.0f} to {one.high:.0f})"
            + (", the most measured" if one.equivalent >= one.most else ""),
            one.rate_text(),
        )
        for one in found
    ]
    stopped = next((i for i, one in enumerate(found) if not one.pays), len(found))
    if stopped == len(found):
        pays = "It pays as far as it was measured."
    elif stopped:
        pays = f"It stops paying after {found[stopped - 1].auxiliary}."
    else:
        pays = f"Already the first {found[0].auxiliary} cost more than what they replace."
    table = Table(f"{name}, from {min(curves[0])} of the robot", columns, rows).markdown()
    return f"{table}\n\n{pays} {cheapest(*curves, costs)}"


def _curves(auxiliary: Curve, target: Curve, rng: np.random.Generator | None = None):
    """(sizes, rates) of both curves, monotone, with one value at their common beginning.

    With `rng`, of a bootstrap sample: training seeds drawn anew, then successes of each.
    """
    least = min(target)
    start = _rate(target[least], rng)

    def monotone(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
        sizes = sorted(curve)
        values = [start if size == least else _rate(curve[size], rng) for size in sizes]
        return np.array(sizes, float), optimize.isotonic_regression(values).x

    return monotone(auxiliary), monotone(target)


def _rate(records: Sequence[dict], rng: np.random.Generator | None) -> float:
    counts = np.array([(r["policy"]["successes"], r["policy"]["trials"]) for r in records])
    if rng is not None:
        counts = counts[rng.integers(len(counts), size=len(counts))]
        # Jeffreys' prior: seeds that always or never succeed are drawn with some doubt.
        share = rng.beta(counts[:, 0] + 0.5, counts[:, 1] - counts[:, 0] + 0.5)
        return float(np.average(share, weights=counts[:, 1]))
    return float(counts[:, 0].sum() / counts[:, 1].sum())


def _equivalent(extra, reached) -> np.ndarray:
    """e(m) of every measured m but 0, between 0 and the most target episodes that were added."""
    sizes, rate = reached
    return np.array([_first(sizes, rate, success) - sizes[0] for success in extra[1][1:]])


def _first(sizes: np.ndarray, rate: np.ndarray, success: float) -> float:
    """The fewest episodes at which a curve has a success; the most if it never has."""
    at = int(np.searchsorted(rate, success))  # rate[at - 1] < success <= rate[at]
    if at == 0:
        return float(sizes[0])
    if at == len(rate):
        return float(sizes[-1])
    part = (success - rate[at - 1]) / (rate[at] - rate[at - 1])
    return float(sizes[at - 1] + part * (sizes[at] - sizes[at - 1]))
