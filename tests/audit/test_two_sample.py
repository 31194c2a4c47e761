"""Distances between sets of episodes: worked by hand, and on sets whose answer is known."""

import numpy as np
import pytest

from glam_jax.audit.latent_range import LatentRange
from glam_jax.audit.two_sample import PER_EPISODE, energy_test, separability, thin
from glam_jax.errors import DataError


def episodes(rng, count, shift=0.0, spread=1.0, own=0.5):
    """Episodes (50, 3) around a centre of their own, so that their transitions go together."""
    centres = rng.normal(size=(count, 1, 3)) * own + shift
    return list(centres + spread * rng.normal(size=(count, 50, 3)))


def test_the_energy_coefficient_by_hand():
    # Distances across are 2; within the second set 2 too: (2 * 2 - 0 - 2) / (2 * 2).
    one = [np.array([[0.0]]), np.array([[0.0]])]
    other = [np.array([[1.0], [1.0]]), np.array([[3.0]])]
    assert energy_test(one, other, 9)[0] == pytest.approx(0.5)
    # Two points: as far apart as sets can be.
    assert energy_test(one, [z + 5.0 for z in one], 9)[0] == pytest.approx(1.0)
    assert energy_test(one, [z for z in one], 9)[0] == 0.0


def test_alike_sets_are_not_told_apart(rng):
    found = [energy_test(episodes(rng, 12), episodes(rng, 12), 199, i) for i in range(20)]
    coefficients, p_values = np.array(found).T
    assert abs(coefficients.mean()) < 0.01 and np.abs(coefficients).max() < 0.1
    # Episodes scatter more than their transitions say; a test that took transitions for
    # observations would reject nearly always.
    assert sum(p_values < 0.05) <= 4
    assert abs(separability(episodes(rng, 12), episodes(rng, 12)) - 0.5) < 0.15


def test_more_episodes_shrink_the_p_value_and_not_the_coefficient(rng):
    few, many = (
        energy_test(episodes(rng, n, own=0.1), episodes(rng, n, shift=0.1, own=0.1), 999)
        for n in (5, 60)
    )
    assert many[1] == 0.001 and abs(few[0] - many[0]) < 0.05
    assert many[0] < 0.05


@pytest.mark.parametrize("other", [{"shift": 1.5}, {"spread": 4.0}])
def test_shifted_and_scattered_sets_are_told_apart(rng, other):
    one, moved = episodes(rng, 12), episodes(rng, 12, **other)
    coefficient, p_value = energy_test(one, moved)
    assert p_value == 0.001 and coefficient > 0.1
    # The spread differs at equal mean: only quadratic features see that.
    assert separability(one, moved) > 0.8


def test_too_little_is_refused():
    good = [np.zeros((4, 2))] * 2
    for test in (energy_test, separability):
        with pytest.raises(DataError, match="1 and 2 held-out episodes; 2 of each"):
            test(good[:1], good)


def test_long_episodes_are_thinned_evenly():
    kept = thin(np.arange(1000.0)[:, None])[:, 0]
    assert len(kept) == PER_EPISODE and kept[0] == 0 and kept[-1] == 999
    assert np.ptp(np.diff(kept)) <= 1
    assert len(thin(np.zeros((3, 1)))) == 3


def test_the_range_is_that_of_the_training_inputs(rng):
    mix = np.array([[2.0, 0.0], [1.9, 0.1]])
    z = rng.normal(size=(4000, 2)) @ mix.T + 3.0
    known = LatentRange.of(z, 0.99)
    np.testing.assert_allclose(np.cov(known.whiten(z), rowvar=False), np.eye(2), atol=1e-3)
    assert known.share_inside(z) == pytest.approx(0.99, abs=1e-3)
    # For two Gaussian dimensions the squared distance is exponential: sqrt(-2 log 0.01).
    assert known.limit == pytest.approx(np.sqrt(-2 * np.log(0.01)), rel=0.05)
    # Each coordinate is within reach, but not both together.
    assert known.share_inside(np.array([[5.0, 1.0]])) == 0.0
    assert known.share_inside(np.array([[5.0, 5.0]])) == 1.0
    with pytest.raises(ValueError, match="2 latents of 2 dimensions"):
        LatentRange.of(z[:2], 0.99)
