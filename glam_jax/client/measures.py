"""What episodes are summed up to: success with its interval, length, smoothness, latency.

Wilson's interval and the FFT score are those of glam_jax (`evaluation.intervals` and
`evaluation.smoothness`), which this package does without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

PERCENTILES = (50, 95)


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (low, high) of a success rate."""
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    rate = successes / trials
    middle = rate + z2 / (2 * trials)
    half = math.sqrt(z2 * (rate * (1 - rate) + z2 / (4 * trials)) / trials)
    low, high = ((middle + side * half) / (1 + z2 / trials) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def fft_score(speed_n: np.ndarray, rate: float) -> float:
    """Mean frequency of a speed profile weighted by amplitude; lower is smoother.

    nan for fewer than 4 speeds, or where nothing moved (a peak below 0.001 a second).
    """
    v = np.asarray(speed_n, np.float64)
    if len(v) < 4 or not np.isfinite(v).all() or v.max() < 1e-3:
        return math.nan
    frequencies = np.fft.rfftfreq(len(v), d=1.0 / rate)
    return float(2.0 / (len(v) * rate) * np.sum(np.abs(np.fft.rfft(v)) * frequencies))


def smoothness(actions_TxA: np.ndarray, rate: float) -> float | None:
    """The FFT score of how fast each action dimension changes, the median over dimensions.

    The median, as a gripper that opens at once says nothing of how the arm moves. In the unit of
    the actions a second; None if no dimension has a score.
    """
    speeds = np.abs(np.diff(np.asarray(actions_TxA, np.float64), axis=0)) * rate
    scores = [fft_score(speed, rate) for speed in speeds.T]
    known = [score for score in scores if not math.isnan(score)]
    return float(np.median(known)) if known else None


def summary(episodes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sum of at least one episode; see `record` for what each has."""
    successes = sum(bool(episode["success"]) for episode in episodes)
    low, high = wilson(successes, len(episodes))
    latency = np.concatenate([episode["latency_ms"] for episode in episodes])
    marks = zip(PERCENTILES, np.percentile(latency, PERCENTILES))
    smooth = [e["smoothness"] for e in episodes if e["smoothness"] is not None]
    return {
        "episodes": len(episodes),
        "successes": successes,
        "success_rate": successes / len(episodes),
        "success_known": any(episode["success"] is not None for episode in episodes),
        "wilson_95": [low, high],
        "mean_steps": float(np.mean([episode["steps"] for episode in episodes])),
        "smoothness": float(np.mean(smooth)) if smooth else None,
        "requests": len(latency),
        "latency_ms": {**{f"p{p}": float(m) for p, m in marks}, "max": float(latency.max())},
    }


def lines(found: dict[str, Any]) -> list[str]:
    """A summary in words."""
    low, high = (100 * bound for bound in found["wilson_95"])
    ms, smooth = found["latency_ms"], found["smoothness"]
    texts = [
        f"success     {found['successes']} of {found['episodes']} = "
        f"{100 * found['success_rate']:.0f}% ({low:.0f} to {high:.0f}%, 95% Wilson interval)",
        f"length      {found['mean_steps']:.1f} steps on average",
        f"smoothness  {'no score' if smooth is None else f'{smooth:.4g}'} "
        "(FFT score of the sent actions, lower is smoother)",
        f"latency     p50 {ms['p50']:.1f} ms, p95 {ms['p95']:.1f} ms, max {ms['max']:.1f} ms, "
        f"{found['requests']} requests",
    ]
    if not found["success_known"]:
        texts.append("No info of any step told success: name its key by --success=KEY.")
    return texts
