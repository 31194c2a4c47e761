"""Every environment: reset, step, success and views."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.sim import kinematics
from glam_jax.sim.env import make_env, simulation_options
from glam_jax.sim.robots import ROBOTS

WORLDS, STEPS = 4, 30
SEEDS = np.arange(WORLDS, dtype=np.uint32)
every_robot = pytest.mark.parametrize("robot", sorted(ROBOTS))


@functools.cache
def compiled(robot):
    """The environment, its `reset` of seeds and its rollout of actions (WORLDS, STEPS, A)."""
    env = make_env("lifting", robot)

    def act(state, action):
        state = jax.vmap(env.step)(state, action)
        return state, (jax.vmap(env.ee_pose)(state), state.success)

    def reset(seeds):
        return jax.vmap(lambda seed: env.reset(jax.random.key(seed)))(seeds)

    def roll(state, actions):
        return jax.lax.scan(act, state, jnp.swapaxes(actions, 0, 1))

    options = simulation_options()
    return (
        env,
        jax.jit(reset, compiler_options=options),
        jax.jit(roll, compiler_options=options),
    )


def commands(env, state):
    """Actions (WORLDS, A) that hold the robots where they are, grippers open."""
    if env.robot.has_actions:
        return np.array(jax.vmap(env.proprio)(state))
    return np.array(jax.vmap(env.ee_pose)(state))


def over_time(action):
    return np.repeat(action[:, None], STEPS, axis=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("juggling", "kinova"), "unknown task 'juggling'; known: .*lifting"),
        (("lifting", "panda"), "unknown robot 'panda'; known: kinova, kinova_real, umi"),
        (("lifting", "umi", 2), "image_size"),
    ],
)
def test_unknown_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_env(*arguments)


def test_make_env_gives_the_same_object():
    assert make_env("lifting", "umi") is make_env("lifting", "umi")


@every_robot
def test_reset_depends_on_the_seed_alone(robot):
    _, reset, _ = compiled(robot)
    batch, alone = reset(SEEDS), reset(SEEDS[2:3])
    np.testing.assert_allclose(batch.data.qpos[2], alone.data.qpos[0], atol=1e-6)
    assert np.std(batch.data.qpos[:, -7]) > 0.01  # worlds differ
    assert not np.any(batch.success)
    assert not np.any(batch.step)


@pytest.mark.parametrize("robot", ["kinova_real", "umi"])
def test_robots_start_alike(robot):
    (kinova, reset_kinova, _), (env, reset, _) = compiled("kinova"), compiled(robot)
    ours, theirs = reset_kinova(SEEDS), reset(SEEDS)
    np.testing.assert_array_equal(ours.data.qpos[:, -7:], theirs.data.qpos[:, -7:])
    pose, other = jax.vmap(kinova.ee_pose)(ours), jax.vmap(env.ee_pose)(theirs)
    np.testing.assert_allclose(pose, other, atol=1e-3)


@every_robot
def test_holding_still_stays_still(robot):
    env, reset, roll = compiled(robot)
    start = reset(SEEDS)
    end, (poses, success) = roll(start, over_time(commands(env, start)))
    np.testing.assert_allclose(poses - jax.vmap(env.ee_pose)(start), 0.0, atol=2e-3)
    np.testing.assert_allclose(end.data.qpos[:, -7:], start.data.qpos[:, -7:], atol=3e-3)
    assert not np.any(success)
    np.testing.assert_array_equal(end.step, STEPS)


@every_robot
def test_a_commanded_pose_is_reached(robot):
    env, reset, roll = compiled(robot)
    start = reset(SEEDS)
    target = np.array(jax.vmap(env.ee_pose)(start))
    target[:, :3] += [0.03, -0.05, -0.04]
    target[:, 3:9] = kinematics.rotation_6d(kinematics.pointing_down(jnp.full(WORLDS, 0.4)))
    target[:, 9] = 0.3
    action = target
    if env.robot.has_actions:
        rotation = kinematics.matrix_from_6d(target[:, 3:9])
        solve = functools.partial(kinematics.inverse, iterations=60)
        joints = jax.vmap(solve)(target[:, :3], rotation, start.data.qpos[:, :7])
        action = np.concatenate([joints, target[:, 9:]], axis=1)
    _, (poses, _) = roll(start, over_time(action))
    np.testing.assert_allclose(poses[-1, :, :3], target[:, :3], atol=3e-3)
    np.testing.assert_allclose(poses[-1, :, 3:], target[:, 3:], atol=2e-2)


@every_robot
def test_same_actions_give_the_same_bits_and_wild_ones_are_clipped(robot):
    env, reset, roll = compiled(robot)
    start = reset(SEEDS)
    wild = np.random.default_rng(0).normal(size=(WORLDS, STEPS, env.action_dim)) * 20
    end, first = roll(start, wild.astype(np.float32))
    _, second = roll(start, wild.astype(np.float32))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert np.all(np.isfinite(end.data.qpos))
    ctrl = np.asarray(end.data.ctrl)
    assert np.all((ctrl[:, -2:] >= 0) & (ctrl[:, -2:] <= 0.0425))
    if env.robot.has_actions:
        assert np.all(np.abs(ctrl[:, :7]) <= kinematics.JOINT_LIMITS + 1e-6)


def test_a_heading_past_half_a_turn_is_reached_the_short_way():
    heading = np.zeros(8, np.float32)
    heading[3] = 3.1
    pose = kinematics.ee_pose(
        jnp.zeros(3), kinematics.pointing_down(jnp.float32(-3.1)), jnp.ones(())
    )
    target = ROBOTS["umi"].control(pose, heading)
    np.testing.assert_allclose(target[3], 2 * np.pi - 3.1, atol=1e-4)


def _renders_of_cubes(robot):
    """Views with the cube at the corners and edges of its start range, the hand at its start."""
    env, reset, _ = compiled(robot)
    start = jax.tree.map(lambda x: np.array(x[0]), reset(SEEDS))
    places = [(x, y, a) for x in (0.35, 0.475, 0.6) for y in (-0.2, 0.0, 0.2) for a in (0, 0.785)]
    cube = env.mj_model.geom("cube").id
    sight = jax.tree.map(lambda x: np.array([x] * len(places)), env.sight(start))
    for i, (x, y, a) in enumerate(places):
        sight.geom_xpos[i, cube] = x, y, 0.025
        sight.geom_xmat[i, cube] = np.asarray(kinematics.turn_about_z(jnp.float32(a)))
    return jax.jit(jax.vmap(env.render), compiler_options=simulation_options())(sight)


@every_robot
@pytest.mark.parametrize("view", ["front", "overhead"])
def test_cube_is_at_least_five_pixels_wide_everywhere(robot, view):
    masks = np.asarray(_cached_renders(robot)[f"mask_{view}"])[..., 0]
    widths = masks.any(axis=1).sum(axis=1)
    assert widths.min() >= 5, widths
    inside = masks.copy()
    inside[:, 1:-1, 1:-1] = 0
    assert not inside.any()  # never cut by the border


_cached_renders = functools.lru_cache(maxsize=None)(_renders_of_cubes)


@every_robot
def test_mask_is_where_the_red_cube_is(robot):
    views = _cached_renders(robot)
    for view in ("front", "overhead"):
        image = np.asarray(views[f"image_{view}"], np.int32)
        red = (image[..., 0] > 2 * image[..., 1]) & (image[..., 0] > 2 * image[..., 2])
        red &= image[..., 1] < 60
        mask = np.asarray(views[f"mask_{view}"])[..., 0] == 1
        assert (red & mask).sum() > 0.95 * mask.sum()


@every_robot
def test_observation_has_the_layout_of_its_source(robot):
    env, reset, _ = compiled(robot)
    seen = jax.eval_shape(jax.vmap(env.observe), reset(SEEDS))
    expected = env.layout.step_arrays()
    expected.pop("action", None)
    assert {name: (x.shape[1:], x.dtype) for name, x in seen.items()} == expected
    assert ("proprio" in seen) == (robot != "umi")
