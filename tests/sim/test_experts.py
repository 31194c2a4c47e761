"""The scripted experts: success, reproducibility, and joints as a function of the pose."""

import itertools

import numpy as np
import pytest
from demonstrated import demonstrations

from glam_jax.sim import experts, kinematics
from glam_jax.sim.env import make_env
from glam_jax.sim.tasks.cube import HALF
from glam_jax.sim.tasks.lifting import HEIGHT


@pytest.fixture(scope="module")
def kinova():
    return demonstrations("lifting", "kinova")


@pytest.fixture(scope="module")
def umi():
    return demonstrations("lifting", "umi")


@pytest.mark.parametrize("robot", ["kinova", "umi"])
@pytest.mark.slow
def test_episodes_end_shortly_after_the_cube_was_held_high(robot, request):
    for trajectory in request.getfixturevalue(robot):
        if not trajectory.success[-1]:
            continue
        env = make_env("lifting", robot)
        height = trajectory.sight.geom_xpos[:, env.mj_model.geom("cube").id, 2]
        lifted = np.flatnonzero(height < HALF + HEIGHT)[-1] + 1  # from here on 10 cm above its rest
        done = np.flatnonzero(trajectory.success)[0]
        assert done == lifted + env.task.hold_steps - 1
        assert len(trajectory.success) == done + experts.STEPS_AFTER_SUCCESS + 1
        assert 50 <= len(trajectory.success) < env.task.plan_steps


@pytest.mark.slow
def test_both_robots_follow_one_plan(kinova, umi):
    lengths = np.array(
        [(len(a.success), len(b.success)) for a, b in zip(kinova, umi, strict=False)]
    )
    assert np.mean(np.abs(lengths[:, 0] - lengths[:, 1]) <= 2) > 0.9
    for ours, theirs in zip(kinova[:10], umi[:10], strict=True):
        length = min(len(ours.success), len(theirs.success))
        apart = ours.ee_pose[:length, :3] - theirs.ee_pose[:length, :3]
        assert np.linalg.norm(apart, axis=-1).max() < 0.02


@pytest.mark.slow
def test_a_seed_gives_the_same_episode_whatever_the_batch(umi):
    again = experts.simulate(make_env("lifting", "umi"), np.array([30, 4]))
    for trajectory, seed in zip(again, (30, 4), strict=True):
        np.testing.assert_array_equal(trajectory.ee_pose, umi[seed].ee_pose)
        np.testing.assert_array_equal(trajectory.action, umi[seed].action)


@pytest.mark.slow
def test_episodes_vary(kinova):
    assert len({len(t.success) for t in kinova}) > 10
    starts = np.stack([t.ee_pose[0, :3] for t in kinova])
    assert np.all(starts.std(axis=0) > 0.01)


def _polynomial(poses, mean, scale, degree=3):
    """Monomials up to `degree` of consecutive poses (x_t, x_t+1 - x_t), standardised."""
    x = (poses - mean) / scale
    columns = [np.ones(len(x))]
    for d in range(1, degree + 1):
        for chosen in itertools.combinations_with_replacement(range(x.shape[1]), d):
            columns.append(np.prod(x[:, chosen], axis=1))
    return np.stack(columns, axis=1)


def _transitions(trajectories):
    """Consecutive poses and the action between them, over all episodes.

    The hand points down: its position, heading and opening say all of its pose.
    """
    now = np.concatenate([t.ee_pose[:-1] for t in trajectories])
    change = np.concatenate([np.diff(t.ee_pose, axis=0) for t in trajectories])
    chosen = [0, 1, 2, 4, 9]
    poses = np.concatenate([now[:, chosen], change[:, chosen]], axis=1)
    return poses, np.concatenate([t.action[:-1] for t in trajectories])


@pytest.mark.slow
def test_actions_are_a_function_of_consecutive_poses(kinova):
    seeds = np.arange(len(kinova), len(kinova) + experts.batch())
    poses, actions = _transitions(kinova)
    held_out = experts.simulate(make_env("lifting", "kinova"), seeds)
    held_poses, held_actions = _transitions(held_out)
    mean, scale = poses.mean(axis=0), poses.std(axis=0) + 1e-6
    inputs, offset = _polynomial(poses, mean, scale), actions.mean(axis=0)
    gram = inputs.T @ inputs + 1e-6 * len(inputs) * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs.T @ (actions - offset))
    guess = _polynomial(held_poses, mean, scale) @ weights + offset
    found = np.asarray(kinematics.ee_pose_of_action(guess.astype(np.float32)))
    expected = np.asarray(kinematics.ee_pose_of_action(held_actions))
    error = np.linalg.norm(found[:, :3] - expected[:, :3], axis=-1)
    assert error.mean() < 5e-3, f"{1e3 * error.mean():.1f} mm"


@pytest.mark.parametrize("robot", ["kinova", "umi"])
@pytest.mark.slow
def test_demonstrations_are_episodes_of_the_schema(robot, request):
    env = make_env("lifting", robot)
    episodes = experts.demonstrate(env, np.array([0, 1]))
    for seed, episode in enumerate(episodes):
        found = {name: (x.shape, x.dtype) for name, x in episode.steps.items()}
        steps = len(request.getfixturevalue(robot)[seed].success)
        expected = env.layout.step_arrays().items()
        assert found == {name: ((steps, *shape), dtype) for name, (shape, dtype) in expected}
        assert (episode.task, episode.source, episode.seed) == ("lifting", robot, seed)
        assert episode.success
        # Rendered in step with the poses: the cube rises in the front view while it is lifted.
        rows = [np.flatnonzero(m[..., 0].any(axis=1)).mean() for m in episode.steps["mask_front"]]
        assert rows[-1] < rows[0] - 5


def test_bad_seeds_are_refused():
    env = make_env("lifting", "umi")
    with pytest.raises(ValueError, match="seeds must be whole numbers"):
        experts.simulate(env, np.array([0.5]))
    with pytest.raises(ValueError, match=r"found int.* of shape \(1, 1\)"):
        experts.demonstrate(env, np.array([[1]]))
    assert experts.demonstrate(env, np.zeros(0, int)) == []
