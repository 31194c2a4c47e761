"""Confidence intervals of a success rate."""

import math
import operator
import statistics


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion.

    The bounds are the two rates p that a score test would not reject, the roots of
    (p_hat - p)^2 = z^2 p (1 - p) / n with p_hat = successes / n:

      (p_hat + z^2 / 2n -+ z sqrt(p_hat (1 - p_hat) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    No continuity correction. The lower bound is exactly 0 for no success and the upper one
    exactly 1 for no failure. E. B. Wilson, 1927; method 3 of R. G. Newcombe, 1998.

    Args:
      successes: how many of the trials succeeded, 0 to `trials`.
      trials: how many trials there were, at least 1.
      confidence: two-sided coverage, between 0 and 1.

    Returns:
      (low, high), both in [0, 1].

    Raises:
      ValueError: for no trials, successes outside 0..trials, or a confidence outside (0, 1).
      TypeError: for counts that are not whole numbers.

    >>> [round(bound, 4) for bound in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    successes, trials = operator.index(successes), operator.index(trials)
    if trials < 1:
        raise ValueError(f"wilson: trials is {trials}; an interval needs at least 1 trial")
    if not 0 <= successes <= trials:
        raise ValueError(f"wilson: successes is {successes}; expected 0 to {trials}, the trials")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"wilson: confidence is {confidence}; expected a number between 0 and 1")
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2.0)
    rate = successes / trials
    shrink = 1.0 + z * z / trials
    centre = (rate + z * z / (2.0 * trials)) / shrink
    spread = math.sqrt(rate * (1.0 - rate) / trials + z * z / (4.0 * trials * trials))
    half = z * spread / shrink
    # The bounds at the ends are 0 and 1 in exact arithmetic; rounding would leave 1e-18.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high
