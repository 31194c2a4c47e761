"""Open-loop replay of given actions."""

import numpy as np
import pytest
from point_world import PointWorld, start_and_goal, steps_to_reach

from glam_jax.evaluation.replay import hold_last, path_errors, replay
from glam_jax.evaluation.rollout import Rollout

WORLD = PointWorld()
SEEDS = [950_000, 950_001, 3]


def _towards(goal, length):
    actions = np.zeros((length, 8), np.float32)
    actions[:, :3] = goal
    return actions


def test_actions_of_different_length_reach_the_goal_of_their_seed():
    # Held to the horizon, even a single command is a whole reach.
    actions = [
        _towards(start_and_goal(seed)[1], length)
        for seed, length in zip(SEEDS, (1, 5, WORLD.horizon), strict=True)
    ]
    result = replay(WORLD, actions, SEEDS, film=1)
    assert result.success.all()
    assert result.steps.tolist() == [steps_to_reach(*start_and_goal(seed)) for seed in SEEDS]
    assert result.actions.shape == (3, WORLD.horizon, 8)
    assert result.sight.geom_xpos.shape == (1, WORLD.horizon, 2, 3)
    assert (result.clipped == 0).all()


def test_actions_of_another_seed_fail():
    goals = [start_and_goal(seed)[1] for seed in SEEDS]
    result = replay(WORLD, [_towards(goal, 5) for goal in goals[1:] + goals[:1]], SEEDS)
    assert not result.success.any()


def test_batches_do_not_matter_and_long_sequences_extend_the_horizon():
    rng = np.random.default_rng(0)
    actions = [rng.uniform(0.2, 0.6, (length, 8)) for length in (30, 4, 11)]
    together = replay(WORLD, actions, SEEDS)
    apart = replay(WORLD, actions, SEEDS, batch=2)
    assert together.ee_position.shape == (3, 30, 3)
    np.testing.assert_allclose(apart.ee_position, together.ee_position, atol=1e-6)
    np.testing.assert_allclose(apart.actions[1, 4:], np.tile(actions[1][-1], (26, 1)), rtol=1e-6)


def test_errors_are_distances_from_the_episodes_path_of_every_arm():
    rng = np.random.default_rng(0)
    result = Rollout(
        seeds=np.arange(2),
        success=np.ones(2, bool),
        steps=np.full(2, 9),
        ee_position=rng.normal(size=(2, 9, 6)),
        actions=np.zeros((2, 9, 16)),
        clipped=np.zeros(2),
        sight=None,
    )
    # The first episode is shorter than its replay, the second longer.
    poses = [rng.normal(size=(length, 20)) for length in (5, 12)]
    for pose, path in zip(poses, result.ee_position, strict=True):
        steps = min(len(pose), len(path))
        pose[:steps, 0:3] = path[:steps, 0:3] + [0.003, 0.0, 0.004]  # 5 mm off
        pose[:steps, 10:13] = path[:steps, 3:6]  # the second arm not at all
    np.testing.assert_allclose(path_errors(result, poses), 0.0025)
    result.ee_position[1, 3] = np.nan
    assert np.isnan(path_errors(result, poses)).tolist() == [False, True]


def test_hold_last_repeats_the_last_action():
    held = hold_last(np.array([[1.0], [2.0]]), 4)
    np.testing.assert_array_equal(held[:, 0], [1, 2, 2, 2])


@pytest.mark.parametrize(
    "actions, error, found",
    [
        ([np.zeros((3, 8))] * 2, AssertionError, "2 != 3"),
        ([np.zeros((3, 8))] * 2 + [np.zeros((3, 7))], AssertionError, r"\(3, 7\)"),
        (
            [np.where(np.arange(24).reshape(3, 8) == 17, np.nan, 0)] * 3,
            ValueError,
            "actions 0 are not finite at step 2",
        ),
    ],
)
def test_bad_input_is_refused(actions, error, found):
    with pytest.raises(error, match=found):
        replay(WORLD, actions, SEEDS)
