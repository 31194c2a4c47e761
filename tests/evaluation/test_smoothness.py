"""Smoothness scores against motions whose scores are known in closed form."""

import math

import numpy as np
import pytest

from glam_jax.evaluation.smoothness import fft_score, jerk_score, mean_scores, speed

RATE = 20.0


def _minimum_jerk(duration, distance=0.3, rate=RATE):
    """Positions (T, 3) along x(s) = D (10 s^3 - 15 s^4 + 6 s^5), s = t / duration."""
    s = np.arange(round(duration * rate) + 1) / (duration * rate)
    x = distance * (10 * s**3 - 15 * s**4 + 6 * s**5)
    # An oblique line: the score must not depend on the direction.
    return x[:, None] * np.array([2.0, -1.0, 2.0]) / 3.0


@pytest.mark.parametrize("duration", [2.0, 5.0, 13.0])
def test_minimum_jerk_profile_scores_its_known_value(duration):
    # v = D/T (30 s^2 - 60 s^3 + 30 s^4), peak at s = 1/2: 15/8 D/T.
    # v'' = 60 D/T^3 (1 - 6 s + 6 s^2), and 1 - 6 s + 6 s^2 is the shifted Legendre
    # polynomial of degree 2, whose square integrates to 1/5 over [0, 1]:
    #   integral of v''^2 dt = 3600 D^2/T^5 / 5 = 720 D^2/T^5.
    # T^5 / v_peak^2 * integral = T^5 (64/225) (T/D)^2 720 D^2/T^5 = 204.8 T^2.
    score = jerk_score(speed(_minimum_jerk(duration), RATE), RATE)
    assert score == pytest.approx(-math.log(204.8 * duration**2), abs=0.03)


def test_jerk_score_converges_with_the_control_rate():
    exact = -math.log(204.8 * 4.0)
    errors = [
        abs(jerk_score(speed(_minimum_jerk(2.0, rate=rate), rate), rate) - exact)
        for rate in (10.0, 20.0, 40.0)
    ]
    assert errors[0] > 2.5 * errors[1] > 2.5 * 2.5 * errors[2]


def test_jerk_score_does_not_depend_on_the_distance():
    near, far = (_minimum_jerk(4.0, distance) for distance in (0.1, 0.5))
    assert jerk_score(speed(near, RATE), RATE) == pytest.approx(
        jerk_score(speed(far, RATE), RATE), abs=1e-6
    )


def test_ripple_is_worse_in_both_scores():
    smooth = _minimum_jerk(5.0)
    time = np.arange(len(smooth)) / RATE
    jerks, ffts = [], []
    for amplitude in (0.0, 0.001, 0.004):
        ripple = amplitude * np.sin(2 * np.pi * 4.0 * time)
        profile = speed(smooth + ripple[:, None] * np.array([2.0, -1.0, 2.0]) / 3.0, RATE)
        jerks.append(jerk_score(profile, RATE))
        ffts.append(fft_score(profile, RATE))
    assert jerks[0] > jerks[1] > jerks[2]
    assert ffts[0] < ffts[1] < ffts[2]


def test_fft_score_of_two_sinusoids():
    # Amplitude a at f adds a f / f_s, and the mean speed adds nothing.
    time = np.arange(100) / RATE
    v = 0.5 + 0.1 * np.sin(2 * np.pi * 2.0 * time) + 0.04 * np.cos(2 * np.pi * 5.0 * time)
    assert fft_score(v, RATE) == pytest.approx((0.1 * 2.0 + 0.04 * 5.0) / RATE)


def test_speed_is_distance_per_second():
    positions = np.array([[0.0, 0.0, 0.0], [0.03, 0.04, 0.0], [0.03, 0.04, 0.01]])
    np.testing.assert_allclose(speed(positions, 20.0), [1.0, 0.2])


@pytest.mark.parametrize(
    "positions",
    [
        _minimum_jerk(5.0)[:4],
        np.full((50, 3), 0.2),
        0.2 + 1e-5 * np.random.default_rng(0).normal(size=(50, 3)),
        np.where(np.arange(101)[:, None] == 60, np.nan, _minimum_jerk(5.0)),
    ],
    ids=["too short", "motionless", "jitter", "diverged"],
)
def test_scores_without_meaning_are_nan(positions):
    profile = speed(positions, RATE)
    assert math.isnan(jerk_score(profile, RATE))
    assert math.isnan(fft_score(profile, RATE))


def test_mean_scores_leave_out_what_has_none():
    moving, still = _minimum_jerk(5.0), np.full((101, 3), 0.1)
    scores = mean_scores([np.hstack([moving, still]), np.hstack([moving, moving])], RATE)
    assert scores["scored"] == 3
    assert scores["jerk"] == pytest.approx(jerk_score(speed(moving, RATE), RATE))
    assert scores["fft"] == pytest.approx(fft_score(speed(moving, RATE), RATE))
    nothing = mean_scores([still], RATE)
    assert nothing["scored"] == 0 and math.isnan(nothing["jerk"]) and math.isnan(nothing["fft"])


def test_other_shapes_are_refused():
    with pytest.raises(AssertionError, match=r"\(5, 2\)"):
        speed(np.zeros((5, 2)), RATE)
    with pytest.raises(AssertionError, match="rank"):
        fft_score(np.ones((9, 1)), RATE)
