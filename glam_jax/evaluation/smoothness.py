"""Smoothness of a motion, from the speed of its end effector, docs/equations.md."""

from collections.abc import Iterable

import chex
import numpy as np

# Below this peak speed (m/s) nothing moved: what is left is the jitter of contact forces.
MOTIONLESS = 1e-3
# Second differences need three speeds, and their extrapolation to both ends one more.
SHORTEST = 4


def speed(positions_Tx3: np.ndarray, rate: float) -> np.ndarray:
    """Mean speed over each sampling interval, v (T - 1,), in m/s.

    v_i = |p_i+1 - p_i| * rate. It is the speed at the interval's middle to second order, and
    unlike a central difference it does not smooth away ripple near the Nyquist frequency.

    Args:
      positions_Tx3: end-effector positions (T, 3) in m, one each control step.
      rate: control rate in Hz.
    """
    positions = np.asarray(positions_Tx3, np.float64)
    chex.assert_shape(positions, (None, 3))
    return np.linalg.norm(np.diff(positions, axis=0), axis=1) * rate


def jerk_score(speed_n: np.ndarray, rate: float) -> float:
    """Jerk score of a speed profile; less negative is smoother.

      -ln( T^5 / v_peak^2 * integral of (d2v/dt2)^2 dt )

    with v in m/s and time in seconds. The exponent 5 leaves the argument a unit of s^2 (the
    dimensionless form has T^3), so scores compare only among motions measured in seconds.
    A minimum-jerk reach of duration T scores -ln(204.8 T^2).

    The samples are interval means, so n of them last T = n / rate. d2v/dt2 is the central
    second difference, extended linearly to the two outermost intervals, and the integral is
    the sum over intervals: second order in 1 / rate.

    Args:
      speed_n: speed over each sampling interval (n,), as from `speed`.
      rate: control rate in Hz.

    Returns:
      The score; nan where it has no meaning: fewer than 4 speeds, a peak below 1 mm/s (the
      arm did not move) or a non-finite speed (the simulation diverged). Exactly constant
      acceleration has no jerk and scores inf.
    """
    v = np.asarray(speed_n, np.float64)
    if not _meaningful(v):
        return float("nan")
    inner = np.diff(v, 2) * rate**2
    ends = 2 * inner[0] - inner[1], 2 * inner[-1] - inner[-2]
    second = np.concatenate([ends[:1], inner, ends[1:]])
    duration = len(v) / rate
    integral = np.sum(second**2) / rate
    with np.errstate(divide="ignore"):
        return float(-np.log(duration**5 / v.max() ** 2 * integral))


def fft_score(speed_n: np.ndarray, rate: float) -> float:
    """Mean frequency of a speed profile weighted by amplitude; lower is smoother.

      2 / (n f_s) * sum_i M_i f_i

    with M_i the magnitude of the discrete Fourier transform of v at the frequencies
    0 < f_i <= f_s / 2, so that 2 M_i / n is the amplitude of a sinusoid at f_i: a ripple of
    amplitude a (m/s) at f adds a f / f_s. In m/s.

    Args:
      speed_n: speed over each sampling interval (n,), as from `speed`.
      rate: control rate f_s in Hz.

    Returns:
      The score; nan under the same conditions as `jerk_score`.
    """
    v = np.asarray(speed_n, np.float64)
    if not _meaningful(v):
        return float("nan")
    magnitudes = np.abs(np.fft.rfft(v))
    frequencies = np.fft.rfftfreq(len(v), d=1.0 / rate)
    return float(2.0 / (len(v) * rate) * np.sum(magnitudes * frequencies))


def mean_scores(trajectories: Iterable[np.ndarray], rate: float) -> dict[str, float]:
    """Both scores, averaged over arms and trajectories that have one.

    Args:
      trajectories: end-effector positions, each (T, 3 * arms) in m, one each control step.
      rate: control rate in Hz.

    Returns:
      {"jerk", "fft", "scored"}: the two means, nan if no motion could be scored, and how
      many motions (arms times trajectories) entered them.
    """
    jerks, ffts = [], []
    for trajectory in trajectories:
        for arm in np.split(trajectory, trajectory.shape[1] // 3, axis=1):
            profile = speed(arm, rate)
            jerks.append(jerk_score(profile, rate))
            ffts.append(fft_score(profile, rate))
    scored = np.isfinite(jerks) & np.isfinite(ffts)
    if not scored.any():
        return {"jerk": float("nan"), "fft": float("nan"), "scored": 0}
    return {
        "jerk": float(np.asarray(jerks)[scored].mean()),
        "fft": float(np.asarray(ffts)[scored].mean()),
        "scored": int(scored.sum()),
    }


def _meaningful(v: np.ndarray) -> bool:
    chex.assert_rank(v, 1)
    return len(v) >= SHORTEST and bool(np.isfinite(v).all()) and v.max() >= MOTIONLESS
