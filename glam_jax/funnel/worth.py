"""What a source brings: points of success, and what of the target it replaces."""

import numpy as np

from glam_jax.evaluation import intervals

DRAWS = 4000  # of success rates


def of(candidate: dict, none: dict, half: dict) -> dict:
    """`points`, `points_low`, `points_high` of success more than without the source; and `rate`,
    `rate_low`, `rate_high`: how many of its demonstrations bring what one more of the target does.

    Without the source, success rises from `half` to all of the target's demonstrations by s points
    for each. If m demonstrations of the source bring g points, m s / g of them replace one of the
    target: near the measured numbers, for the rise gets smaller with more. The interval is 95% of
    draws of the three success rates. A rate is None where nothing is gained; {} where the policy
    was not measured.
    """
    if "successes" not in candidate or "successes" not in none:
        return {}
    counts = [(one["successes"], one["trials"]) for one in (candidate, none, half)]
    rates = [s / n for s, n in counts]
    low, high = intervals.newcombe(*counts[0], *counts[1])
    points = {"points": rates[0] - rates[1], "points_low": low, "points_high": high}
    found = {name: 100 * share for name, share in points.items()}
    more = none["target_episodes"] - half["target_episodes"]
    rng = np.random.default_rng(0)
    drawn = [rng.beta(s + 0.5, n - s + 0.5, DRAWS) for s, n in counts]
    rate = _rate(rates, more, candidate["episodes"])
    bounds = np.quantile(
        _rate(drawn, more, candidate["episodes"]), (0.025, 0.975), method="inverted_cdf"
    )
    values = {"rate": rate, "rate_low": bounds[0], "rate_high": bounds[1]}
    return found | {k: float(v) if np.isfinite(v) else None for k, v in values.items()}


def _rate(rates, more: int, episodes: int):
    """m s / g, infinite where nothing is gained, 0 where the target's bring nothing."""
    with_it, without, half = map(np.asarray, rates)
    rise, gain = np.maximum(without - half, 0.0) / more, with_it - without
    return np.where(gain > 0, episodes * rise / np.where(gain > 0, gain, 1.0), np.inf)
