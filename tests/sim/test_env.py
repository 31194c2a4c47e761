"""Every environment: reset, step, success and views."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.sim import experts, kinematics
from glam_jax.sim.env import make_env, simulation_options
from glam_jax.sim.render import make_renderer
from glam_jax.sim.robots import ROBOTS

# As many as demonstrations, whose compiled programs these tests use.
WORLDS = experts.batch()
SEEDS = np.arange(WORLDS, dtype=np.uint32)
every_robot = pytest.mark.parametrize(
    "robot",
    [one if one == "kinova" else pytest.param(one, marks=pytest.mark.slow) for one in ROBOTS],
)


def reset(env, seeds=SEEDS):
    return experts.beginner(env)(seeds)[0]


def roll(env, state, actions):
    """The state after actions (WORLDS, T, A), the poses (WORLDS, T, E) and success before each."""
    end, seen = experts.performer(env)(state, actions)
    return end, seen.ee_pose, seen.success


def commands(env, state):
    """Actions (WORLDS, A) that hold the robots where they are, grippers open."""
    if env.robot.has_actions:
        return np.array(jax.vmap(env.proprio)(state))
    return np.array(jax.vmap(env.ee_pose)(state))


def over_time(env, action):
    return np.repeat(action[:, None], env.plan_steps, axis=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("juggling", "kinova"), "unknown task 'juggling'; known: .*lifting"),
        (("lifting", "panda"), "unknown robot 'panda'; known: kinova, kinova_real, umi"),
        (("lifting", "umi", 2), "image_size"),
        (("lifting", "umi", 64, ("side",)), "unknown view 'side'; known: front, overhead, wrist"),
    ],
)
def test_unknown_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_env(*arguments)


def test_make_env_gives_the_same_object():
    assert make_env("lifting", "umi") is make_env("lifting", "umi")
    views = ("wrist", "overhead", "front")
    assert make_env("lifting", "umi", 64, views) is make_env("lifting", "umi")


def test_a_world_of_some_views_shows_the_same_in_them():
    whole, some = make_env("lifting", "kinova"), make_env("lifting", "kinova", views=("wrist",))
    sight = jax.tree.map(lambda x: np.array(x[0]), whole.sight(reset(whole)))
    pictures = jax.jit(some.render, compiler_options=simulation_options())(sight)
    assert set(pictures) == {"image_wrist", "mask_wrist"}
    expected = jax.jit(whole.render, compiler_options=simulation_options())(sight)
    for name, picture in pictures.items():
        np.testing.assert_allclose(picture, expected[name], atol=1)


@every_robot
def test_reset_depends_on_the_seed_alone(robot):
    env = make_env("lifting", robot)
    ours, other_order = reset(env), reset(env, SEEDS[::-1])
    np.testing.assert_array_equal(ours.data.qpos, other_order.data.qpos[::-1])
    assert np.std(ours.data.qpos[:, -7]) > 0.01  # worlds differ
    assert not np.any(ours.success)
    assert not np.any(ours.step)


@pytest.mark.parametrize("robot", ["kinova_real", "umi"])
def test_robots_start_alike(robot):
    kinova, env = make_env("lifting", "kinova"), make_env("lifting", robot)
    ours, theirs = reset(kinova), reset(env)
    np.testing.assert_array_equal(ours.data.qpos[:, -7:], theirs.data.qpos[:, -7:])
    pose, other = jax.vmap(kinova.ee_pose)(ours), jax.vmap(env.ee_pose)(theirs)
    np.testing.assert_allclose(pose, other, atol=1e-3)


@every_robot
def test_holding_still_stays_still(robot):
    env = make_env("lifting", robot)
    start = reset(env)
    end, poses, success = roll(env, start, over_time(env, commands(env, start)))
    first = np.asarray(jax.vmap(env.ee_pose)(start))[:, None]
    np.testing.assert_allclose(poses - first, 0.0, atol=2e-3)
    np.testing.assert_allclose(end.data.qpos[:, -7:], start.data.qpos[:, -7:], atol=3e-3)
    assert not np.any(success)
    np.testing.assert_array_equal(end.step, env.plan_steps)


@every_robot
def test_a_commanded_pose_is_reached(robot):
    env = make_env("lifting", robot)
    start = reset(env)
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
    _, poses, _ = roll(env, start, over_time(env, action))
    np.testing.assert_allclose(poses[:, -1, :3], target[:, :3], atol=3e-3)
    np.testing.assert_allclose(poses[:, -1, 3:], target[:, 3:], atol=2e-2)


@every_robot
@pytest.mark.slow
def test_same_actions_give_the_same_bits_and_wild_ones_are_clipped(robot):
    env = make_env("lifting", robot)
    start = reset(env)
    shape = WORLDS, env.plan_steps, env.action_dim
    wild = np.random.default_rng(0).normal(size=shape).astype(np.float32) * 20
    end, *first = roll(env, start, wild)
    _, *second = roll(env, start, wild)
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
    env = make_env("lifting", robot)
    start = jax.tree.map(lambda x: np.array(x[0]), reset(env))
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


def test_hands_see_the_same_whatever_holds_them():
    """The masks from a hand are alike for all robots, and no palm and no arm is in its view."""
    masks = []
    for robot in sorted(ROBOTS):
        env = make_env("lifting", robot)
        start = reset(env)
        render = jax.jit(jax.vmap(make_renderer(env.mj_model, ("wrist",), 48)))
        geom = np.asarray(render(start.data.geom_xpos, start.data.geom_xmat)["geom"])
        seen = {env.mj_model.geom(index).name for index in np.unique(geom) if index >= 0}
        assert sum("finger" in name for name in seen) == 4
        assert seen <= {"table", "cube"} | {name for name in seen if "finger" in name}
        masks.append(geom == env.mj_model.geom("cube").id)
    assert masks[0].any((1, 2, 3)).mean() > 0.5
    for mask in masks[1:]:
        assert np.mean(mask != masks[0]) < 0.002


@every_robot
def test_observation_has_the_layout_of_its_source(robot):
    env = make_env("lifting", robot)
    seen = jax.eval_shape(jax.vmap(env.observe), reset(env))
    expected = env.layout.step_arrays()
    expected.pop("action", None)
    assert {name: (x.shape[1:], x.dtype) for name, x in seen.items()} == expected
    assert ("proprio" in seen) == (robot != "umi")
