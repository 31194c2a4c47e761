"""What actions are kept within, by hand: limits that are given, and those that hold otherwise."""

import types

import numpy as np
import pytest

from glam_jax.serve import limits, service
from glam_jax.serve.limits import Limits

LIMITS = Limits(np.array([-1.0, 0.0]), np.array([1.0, 1.0]), np.array([0.5, np.inf]))


def test_what_is_within_stays_bitwise(rng):
    actions = np.cumsum(rng.uniform(-0.1, 0.1, (6, 2)), axis=0).astype(np.float32) + 0.5
    found, counts = LIMITS.apply(actions.clip(0, 1), actions[0].clip(0, 1))
    np.testing.assert_array_equal(found, actions.clip(0, 1))
    assert counts == {"range": 0, "speed": 0}


def test_by_hand():
    actions = np.array([[3.0, -2.0], [3.0, 1.0], [0.9, 0.0]])
    found, counts = LIMITS.apply(actions, np.array([-0.2, 0.0]))
    # The range first: 1, 1, 0.9; then half a unit a step from -0.2.
    np.testing.assert_allclose(found, [[0.3, 0.0], [0.8, 1.0], [0.9, 0.0]], atol=1e-6)
    assert counts == {"range": 3, "speed": 2}


def test_commands_stay_inside_when_the_arm_is_not(rng):
    actions = rng.normal(0, 5, (50, 2))
    found, _ = LIMITS.apply(actions, np.array([7.0, 0.5]))
    assert (found >= LIMITS.low).all() and (found <= LIMITS.high).all()
    assert np.abs(np.diff(found[:, 0])).max() <= 0.5 + 1e-6


def test_without_a_place_to_start_from_it_is_the_first_command():
    found, counts = LIMITS.apply(np.array([[0.9, 0.0], [-0.9, 0.0]]), None)
    np.testing.assert_allclose(found[:, 0], [0.9, 0.4], atol=1e-6)
    assert counts == {"range": 0, "speed": 1}


def changed(**values):
    made = service.settings()
    made.update(values)
    return made


OWN = Limits(np.append([-6.0] * 7, 0.0), np.append([6.0] * 7, 1.0), np.full(8, 0.25))


def test_a_simulated_robot_has_its_own_limits_and_rated_speeds():
    bounds = tuple(np.tile(edge, 2) for edge in (OWN.low, OWN.high))
    env = types.SimpleNamespace(action_bounds=bounds, control_hz=20.0)
    made = service.limits(service.settings(), limits.simulated(env), 2, 20.0)
    np.testing.assert_array_equal((made.low, made.high), bounds)
    np.testing.assert_allclose(made.step[8:], [*[1.39 / 20] * 4, *[1.22 / 20] * 3, np.inf])


class Doubled:
    """A client's numbers are -2 a + 1."""

    def actions(self, actions):
        return 1 - 2 * actions


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("joint_positions", [0.2] * 8),
        ("pose", [*[0.2] * 3, np.inf, *[0.2] * 3, np.inf]),
        ("pose_delta", [np.inf] * 8),
        ("other", [np.inf] * 8),
    ],
)
def test_own_data_have_the_limits_of_the_demonstrations(kind, steps):
    shown = {name: np.full(8, value) for name, value in (("low", -1), ("high", 3), ("step", 0.1))}
    made = limits.demonstrated(shown, kind, 2, Doubled())
    np.testing.assert_allclose((made.low, made.high), ([-5.0] * 8, [3.0] * 8))
    np.testing.assert_allclose(made.step, steps, atol=1e-12)


def test_limits_can_be_set():
    low, speed = (*range(-7, 0), 0), (0, 1, 1, 1, 1, 1, 1, 4)
    made = service.limits(changed(action_low=low, action_speed=speed), OWN, 1, 10.0)
    np.testing.assert_array_equal(made.low, low)
    np.testing.assert_array_equal(made.high, OWN.high)
    np.testing.assert_allclose(made.step, [np.inf, *[0.1] * 6, 0.4])
    for_all = service.limits(changed(action_speed=(0,), action_low=(-1,)), OWN, 1, 10.0)
    assert np.isinf(for_all.step).all() and (for_all.low == -1).all()
    each_arm = service.limits(changed(action_low=(-4, -3, -2, -1)), OWN, 2, 10.0)
    np.testing.assert_array_equal(each_arm.low, [-4, -3, -2, -1] * 2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"action_speed": (1.0,) * 4}, "config.action_speed is .*expected 1 or 8 numbers"),
        ({"action_speed": (-1.0,) * 8}, "expected 0"),
        ({"action_low": (float("nan"),) * 8}, "config.action_low"),
        ({"action_low": (7.0,) * 8}, r"the lowest action\[0\] is 7, the highest 6"),
    ],
)
def test_impossible_limits_are_refused(values, said):
    with pytest.raises(service.SettingsError, match=said):
        service.limits(changed(**values), OWN, 1, 20.0)
