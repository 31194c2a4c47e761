"""Success rates: their intervals, their differences, and their spread over training seeds.

Which comparison fits which question:

  newcombe          two methods tried on starts of their own: independent proportions.
  paired_newcombe   two methods tried on the same starts: how far they are apart.
  mcnemar           the same starts: whether the data exclude that they do equally well.
  mean_and_sd       one method trained anew several times: how far the runs scatter.

The first three speak of the trained policies at hand. What another training would give is in the
last alone, and trials pooled over trainings share their starts, so their intervals are somewhat
too narrow for it: give both.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion, without continuity correction.

    The bounds are the two rates that a score test would not reject; exactly 0 for no success and
    exactly 1 for no failure. E. B. Wilson, 1927; method 3 of R. G. Newcombe, 1998.

    Args:
      successes: how many of the trials succeeded, 0 to `trials`.
      trials: how many trials there were, at least 1.
      confidence: two-sided coverage, between 0 and 1.

    Returns:
      (low, high), both in [0, 1].

    Raises:
      ValueError: for no trials, successes outside 0..trials, or a confidence outside [0, 1].
      TypeError: for counts that are not whole numbers.

    >>> [round(bound, 4) for bound in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def newcombe(
    successes: int,
    trials: int,
    other_successes: int,
    other_trials: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Newcombe's hybrid score interval of a difference of independent proportions.

    With rates p and q, and their Wilson intervals (l, u) and (m, v), the interval of p - q is

      p - q - sqrt((p - l)^2 + (v - q)^2)  to  p - q + sqrt((u - p)^2 + (q - m)^2)

    without continuity correction: method 10 of R. G. Newcombe, "Interval estimation for the
    difference between independent proportions: comparison of eleven methods", 1998.

    Args:
      successes, trials: of the first method. other_successes, other_trials: of the second.
      confidence: two-sided coverage, between 0 and 1. Each bound of 0.9 is a one-sided one of 0.95.

    Returns:
      (low, high), both in [-1, 1].

    Raises:
      ValueError, TypeError: as `wilson`.

    >>> [round(bound, 4) for bound in newcombe(56, 70, 48, 80)]
    [0.0524, 0.3339]
    """
    return _square_and_add((successes, trials), (other_successes, other_trials), 0.0, confidence)


def paired_newcombe(
    outcomes: Sequence[bool],
    other_outcomes: Sequence[bool],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Newcombe's interval of a difference of proportions of which each trial gives one pair.

    As `newcombe`, with the correlation phi of both outcomes in the two sums of squares,
    (p - l)^2 - 2 phi (p - l)(v - q) + (v - q)^2, which is where trials on the same starts gain
    precision. From the counts a (both), b (first alone), c (second alone) and d (neither),

      phi = k / sqrt((a + b)(c + d)(a + c)(b + d)),  k = max(ad - bc - n / 2, 0) or ad - bc < 0

    and 0 where a method always or never succeeds: method 10 of R. G. Newcombe, "Improved
    confidence intervals for the difference between binomial proportions based on paired data",
    1998.

    Args:
      outcomes, other_outcomes: (n,) success of both methods, start by start.
      confidence: two-sided coverage, between 0 and 1.

    Returns:
      (low, high), both in [-1, 1].

    Raises:
      ValueError: outcomes of different number, none, or other than 0 and 1; else as `wilson`.

    >>> first, second = [1] * 48 + [0] * 2, [1] * 36 + [0] * 12 + [1] * 2
    >>> [round(bound, 4) for bound in paired_newcombe(first, second)]
    [0.0569, 0.3404]
    """
    both, first, second, neither = _pairs(outcomes, other_outcomes)
    n = both + first + second + neither
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess = both * neither - first * second
    if excess > 0:
        excess = max(excess - n / 2, 0.0)
    phi = excess / math.sqrt(margins) if margins else 0.0
    return _square_and_add((both + first, n), (both + second, n), phi, confidence)


def mcnemar(outcomes: Sequence[bool], other_outcomes: Sequence[bool]) -> float:
    """Exact two-sided p value of McNemar's test: do two methods succeed equally often?

    Only starts on which one method alone succeeds tell: of b + c of those, either is as likely
    to be the one, so that b is binomial with n = b + c and probability 1/2. 1 if there are none.

    Args:
      outcomes, other_outcomes: (n,) success of both methods, start by start.

    Raises:
      ValueError: outcomes of different number, none, or other than 0 and 1.

    >>> round(mcnemar([1] * 12 + [0] * 2, [0] * 12 + [1] * 2), 4)
    0.0129
    """
    _, first, second, _ = _pairs(outcomes, other_outcomes)
    if not first + second:
        return 1.0
    return float(stats.binomtest(first, first + second, 0.5).pvalue)


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (divisor n - 1); the latter is nan for one value.

    Raises:
      ValueError: for no values.
    """
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError("mean_and_sd: no values; expected at least 1")
    return float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else math.nan


def _square_and_add(
    counts: tuple[int, int], other: tuple[int, int], phi: float, confidence: float
) -> tuple[float, float]:
    """Wilson's intervals of two rates to one of their difference; phi is their correlation."""
    (low, high), (other_low, other_high) = wilson(*counts, confidence), wilson(*other, confidence)
    rate, other_rate = counts[0] / counts[1], other[0] / other[1]
    down = _length(rate - low, other_high - other_rate, phi)
    up = _length(high - rate, other_rate - other_low, phi)
    difference = rate - other_rate
    return max(-1.0, difference - down), min(1.0, difference + up)


def _length(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2.0 * phi * a * b + b * b))


def _pairs(outcomes: Sequence[bool], other: Sequence[bool]) -> tuple[int, int, int, int]:
    """How many starts both, the first alone, the second alone and neither solved."""
    first, second = np.asarray(outcomes), np.asarray(other)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"paired outcomes have shapes {first.shape} and {second.shape}; "
            "expected the same number of starts, at least 1, in the same order"
        )
    if not np.isin(np.concatenate([first, second]), (0, 1)).all():
        raise ValueError("paired outcomes: expected 0 or 1 for each start")
    first, second = first.astype(bool), second.astype(bool)
    counts = (first & second, first & ~second, ~first & second, ~first & ~second)
    return tuple(int(found.sum()) for found in counts)
