"""Wilson's interval against published worked examples."""

import pytest

from glam_jax.evaluation.intervals import wilson

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
        ((0, 0), ValueError, "at least 1 trial"),
        ((-1, 5), ValueError, "-1"),
        ((6, 5), ValueError, "0 to 5"),
        ((2, 5, 95), ValueError, "95"),
        ((2.5, 5), TypeError, "float"),
    ],
)
def test_bad_input_is_refused(arguments, error, found):
    with pytest.raises(error, match=found):
        wilson(*arguments)
