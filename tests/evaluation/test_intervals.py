"""Intervals, differences and tests against published worked examples."""

import doctest
import math

import numpy as np
import pytest

from glam_jax.evaluation import intervals
from glam_jax.evaluation.intervals import mcnemar, mean_and_sd, newcombe, paired_newcombe, wilson

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
PUBLISHED = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize("successes, trials, low, high", PUBLISHED)
def test_published_examples(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_bounds_solve_the_score_equation():
    # A bound p satisfies (p_hat - p)^2 = z^2 p (1 - p) / n; z = 1.959964 at 95%.
    for bound in wilson(37, 50):
        assert (0.74 - bound) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / 50)


@pytest.mark.parametrize("trials", [1, 7, 20, 50, 263])
def test_no_success_and_no_failure_mirror_each_other(trials):
    low, high = wilson(0, trials)
    assert low == 0.0
    # In closed form the upper bound is z^2 / (n + z^2).
    assert high == pytest.approx(1.959964**2 / (trials + 1.959964**2))
    assert wilson(trials, trials) == (pytest.approx(1 - high), 1.0)


def test_confidence_widens_the_interval():
    narrow, wide = wilson(30, 50, 0.9), wilson(30, 50, 0.99)
    assert wide[0] < narrow[0] < 0.6 < narrow[1] < wide[1]


@pytest.mark.parametrize(
    "arguments, error, found",
    [
        ((0, 0), ValueError, "not less than 1"),
        ((-1, 5), ValueError, "not less than 0"),
        ((6, 5), ValueError, r"k \(6\) must not be greater than n \(5\)"),
        ((2, 5, 95), ValueError, "95"),
        ((2.5, 5), TypeError, "integer"),
    ],
)
def test_bad_input_is_refused(arguments, error, found):
    with pytest.raises(error, match=found):
        wilson(*arguments)


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(intervals).failed == 0


# Newcombe 1998, "Interval estimation for the difference between independent proportions:
# comparison of eleven methods", table II, method 10: successes and trials of both, interval.
DIFFERENCES = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0)),
    ((10, 10, 0, 10), (0.6075, 1.0)),
]


@pytest.mark.parametrize("counts, published", DIFFERENCES)
def test_published_differences(counts, published):
    assert newcombe(*counts) == pytest.approx(published, abs=5.1e-5)
    low, high = newcombe(*counts[2:], *counts[:2])
    assert (-high, -low) == pytest.approx(newcombe(*counts))


def test_a_bound_by_hand():
    # At z = 1.644854, of 90%: Wilson 0.6930 to 0.8763 and 0.3299 to 0.5559.
    by_hand = 0.36 - math.hypot(0.8 - 0.6930, 0.5559 - 0.44)
    assert newcombe(40, 50, 22, 50, 0.9)[0] == pytest.approx(by_hand, abs=2e-4)


def test_a_difference_covers_as_often_as_it_says():
    p, q, draws = 0.8, 0.5, 2000
    drawn = np.random.default_rng(0).binomial(50, [p, q], (draws, 2))
    two = one = 0
    for (a, b), times in zip(*np.unique(drawn, axis=0, return_counts=True), strict=True):
        low, high = newcombe(a, 50, b, 50)
        two += times * (low <= p - q <= high)
        one += times * (newcombe(a, 50, b, 50, confidence=0.9)[0] <= p - q)
    assert two / draws == pytest.approx(0.95, abs=0.02)
    assert one / draws == pytest.approx(0.95, abs=0.02), "one bound of 90% is one-sided 95%"


# Counts of pairs: both, first alone, second alone, neither. The first four are Newcombe 1998,
# "Improved confidence intervals ... based on paired data", table III, method 10; the last is
# complete response before and after consolidation therapy, of Fagerland, Lydersen and Laake,
# "Statistical analysis of contingency tables", chapter 8.
PAIRED = [
    ((36, 12, 2, 0), (0.0569, 0.3404)),
    ((18, 12, 2, 18), (0.0562, 0.3290)),
    ((53, 0, 0, 1), (-0.0729, 0.0729)),
    ((0, 30, 0, 0), (0.8395, 1.0)),
    ((59, 6, 16, 80), (-0.1186, -0.0046)),
]


def pairs(both, first, second, neither):
    counts = (both, first, second, neither)
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


@pytest.mark.parametrize("counts, published", PAIRED)
def test_published_paired_differences(counts, published):
    one, other = pairs(*counts)
    assert paired_newcombe(one, other) == pytest.approx(published, abs=5.1e-5)
    low, high = paired_newcombe(other, one)
    assert (-high, -low) == pytest.approx(paired_newcombe(one, other))


def test_pairing_narrows_the_interval_where_outcomes_agree():
    one, other = pairs(20, 10, 2, 18)
    low, high = paired_newcombe(one, other)
    wide_low, wide_high = newcombe(30, 50, 22, 50)
    assert wide_low < low < 0.16 < high < wide_high


@pytest.mark.parametrize(
    "counts, p",
    [
        ((20, 12, 2, 16), 0.0129),  # Armitage and Berry 1994, p. 127, two culture media
        ((1, 1, 7, 12), 0.0703),  # Bentur et al. 2009, before and after transplantation
        ((5, 3, 3, 9), 1.0),
        ((4, 0, 0, 6), 1.0),
    ],
)
def test_published_mcnemar(counts, p):
    assert mcnemar(*pairs(*counts)) == pytest.approx(p, abs=5e-5)
    assert mcnemar(*reversed(pairs(*counts))) == pytest.approx(p, abs=5e-5)


def test_order_of_the_starts_is_what_pairs():
    one, other = pairs(20, 10, 0, 20)
    assert mcnemar(one, other) < 0.01 < 0.05 < mcnemar(one, other[::-1])


def test_mean_and_sd_over_seeds():
    assert mean_and_sd([0.7, 0.8, 0.9]) == pytest.approx((0.8, 0.1))
    mean, sd = mean_and_sd([0.5])
    assert mean == 0.5 and math.isnan(sd)


@pytest.mark.parametrize(
    "call, found",
    [
        (lambda: newcombe(3, 5, 0, 0), "not less than 1"),
        (lambda: newcombe(3, 5, 9, 5), "must not be greater"),
        (lambda: paired_newcombe([1, 0], [1]), r"\(2,\) and \(1,\)"),
        (lambda: mcnemar([], []), "at least 1"),
        (lambda: mcnemar([0.5], [1]), "0 or 1"),
        (lambda: mean_and_sd([]), "no values"),
    ],
)
def test_bad_comparisons_are_refused(call, found):
    with pytest.raises(ValueError, match=found):
        call()
