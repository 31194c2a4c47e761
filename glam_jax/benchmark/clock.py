"""Repeated timing: warm-up first, then repeats, beside a fixed computation."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax

# A repeat lasts at least this long, s: what is quicker is called several times in a row, and what
# the one before left behind, such as threads that still spin, weighs little.
LEAST_S = 0.5
MOST_CALLS = 200
# Repeats below which there are no quartiles worth the name; a time limit does not go below it.
LEAST_REPEATS = 3


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one call in each of R repeats.

    Attributes:
      seconds: (R,) of what was timed.
      reference: (R + 1,) of one call of the fixed computation, before, between and after the
        repeats; empty without one.

    >>> Timing((1.0, 4.0, 3.0), (1.0, 3.0, 1.0, 2.0)).ratios
    (0.5, 2.0, 2.0)
    """

    seconds: tuple[float, ...]
    reference: tuple[float, ...] = ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """(R,) seconds over the mean of the fixed computation just before and just after.

        What else the machine is doing slows both, and cancels as far as it lasts.
        """
        pairs = zip(self.reference, self.reference[1:], strict=False)
        return tuple(
            2 * second / sum(pair) for second, pair in zip(self.seconds, pairs, strict=True)
        )


def repeat(
    run: Callable[[], Any],
    *,
    repeats: int,
    limit_s: float = math.inf,
    warm_up: int = 1,
    reference: Callable[[], Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Times a function after warming it up.

    The calls of a repeat are made in a row and waited for at its end, as a training loop does.

    Args:
      run: what to time; the arrays that it returns are waited for.
      repeats: how often. limit_s: no further repeat after so many seconds, but at least three,
        or `repeats` if fewer.
      warm_up: calls before, not counted; 0 where the first call is what is asked for.
      reference: the fixed computation, warmed up and timed in between.
      clock: () -> seconds.
    """
    calls = _calls(run, warm_up, clock)
    beside, seconds = [], []
    if reference:
        reference_calls = _calls(reference, 2, clock)
        beside.append(_timed(reference, reference_calls, clock))
    began = clock()
    while len(seconds) < repeats:
        if clock() - began > limit_s and len(seconds) >= LEAST_REPEATS:
            break
        seconds.append(_timed(run, calls, clock))
        if reference:
            beside.append(_timed(reference, reference_calls, clock))
    return Timing(tuple(seconds), tuple(beside))


def _calls(run: Callable[[], Any], warm_up: int, clock: Callable[[], float]) -> int:
    """Warms up; calls that make up a repeat, by the last one's time."""
    once = LEAST_S
    for _ in range(warm_up):
        once = _timed(run, 1, clock)
    return max(1, min(MOST_CALLS, math.ceil(LEAST_S / max(once, 1e-9))))


def _timed(run: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    """Seconds of a call, from several in a row."""
    began = clock()
    for _ in range(calls):
        last = run()
    jax.block_until_ready(last)
    return (clock() - began) / calls
