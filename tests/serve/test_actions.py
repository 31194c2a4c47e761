"""From chunks to what is sent, by hand: which actions, their limits, and the settings of both."""

import numpy as np
import pytest

from glam_jax.serve import service
from glam_jax.serve.actions import Ensemble, Limits, Receding

LIMITS = Limits(np.array([-1.0, 0.0]), np.array([1.0, 1.0]), np.array([0.5, np.inf]))


def test_what_is_within_stays_bitwise(rng):
    actions = np.cumsum(rng.uniform(-0.1, 0.1, (6, 2)), axis=0).astype(np.float32) + 0.5
    found, counts = LIMITS.apply(actions.clip(0, 1), actions[0].clip(0, 1))
    np.testing.assert_array_equal(found, actions.clip(0, 1))
    assert counts == {"joint": 0, "speed": 0}


def test_by_hand():
    actions = np.array([[3.0, -2.0], [3.0, 1.0], [0.9, 0.0]])
    found, counts = LIMITS.apply(actions, np.array([-0.2, 0.0]))
    # Joint limits first: 1, 1, 0.9; then half a unit a step from -0.2.
    np.testing.assert_allclose(found, [[0.3, 0.0], [0.8, 1.0], [0.9, 0.0]], atol=1e-6)
    assert counts == {"joint": 3, "speed": 2}


def test_commands_stay_inside_when_the_arm_is_not(rng):
    actions = rng.normal(0, 5, (50, 2))
    found, _ = LIMITS.apply(actions, np.array([7.0, 0.5]))
    assert (found >= LIMITS.low).all() and (found <= LIMITS.high).all()
    assert np.abs(np.diff(found[:, 0])).max() <= 0.5 + 1e-6


def changed(**values):
    made = service.settings()
    made.update(values)
    return made


BOUNDS = np.append([-6.0] * 7, 0.0), np.append([6.0] * 7, 1.0)


def test_default_limits_are_the_robots_with_speeds():
    two_arms = tuple(np.tile(edge, 2) for edge in BOUNDS)
    made = service.limits(service.settings(), two_arms, 20.0)
    np.testing.assert_array_equal((made.low, made.high), np.float32(two_arms))
    np.testing.assert_allclose(made.step[8:], [*[1.39 / 20] * 4, *[1.22 / 20] * 3, np.inf])


def test_limits_can_be_set():
    low, speed = tuple(range(-7, 0)), (0, 1, 1, 1, 1, 1, 1)
    made = service.limits(
        changed(joint_low=low, joint_speed=speed, gripper_speed=4.0), BOUNDS, 10.0
    )
    np.testing.assert_array_equal(made.low, [*low, 0])
    np.testing.assert_allclose(made.step, [np.inf, *[0.1] * 6, 0.4])
    assert np.isinf(service.limits(changed(joint_speed=()), BOUNDS, 10.0).step).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"joint_speed": (1.0,)}, "config.joint_speed is .*expected 7 numbers"),
        ({"joint_speed": (-1.0,) * 7}, "expected 0"),
        ({"joint_low": (float("nan"),) * 7}, "config.joint_low"),
        ({"joint_low": (7.0,) * 7}, "not below"),
    ],
)
def test_impossible_limits_are_refused(values, said):
    with pytest.raises(service.SettingsError, match=said):
        service.limits(changed(**values), BOUNDS, 20.0)


@pytest.mark.parametrize(
    ("values", "said"), [({"mode": "both"}, "chunk or ensemble"), ({"execute": 7}, "1 to 6")]
)
def test_impossible_execution_is_refused(values, said):
    with pytest.raises(service.SettingsError, match=said):
        service.execute(changed(**values), 6, 4)
    assert service.execute(service.settings(), 6, 4) == 4


def chunk(values):
    return np.array(values, np.float64)[:, None]


def test_receding_horizon_is_the_head():
    assert Receding(2).actions(chunk([1, 2, 3])).tolist() == [[1], [2]]


def test_the_ensemble_averages_what_was_planned_for_now():
    ensemble = Ensemble(3, decay=np.log(2))  # weights 1, 1/2, 1/4, the oldest first
    assert ensemble.actions(chunk([1, 2, 3])).tolist() == [[1]]
    np.testing.assert_allclose(ensemble.actions(chunk([5, 6, 7])), [[(2 + 5 / 2) / 1.5]])
    np.testing.assert_allclose(ensemble.actions(chunk([9, 0, 0])), [[(3 + 6 / 2 + 9 / 4) / 1.75]])
    # The first chunk has nothing to say about the fourth step.
    np.testing.assert_allclose(ensemble.actions(chunk([8, 0, 0])), [[(7 + 0 / 2 + 8 / 4) / 1.75]])


def test_an_episode_begins_without_old_plans():
    ensemble = Ensemble(3, 0.01)
    ensemble.actions(chunk([100, 100, 100]))
    ensemble.reset()
    assert ensemble.actions(chunk([1, 2, 3])).tolist() == [[1]]
