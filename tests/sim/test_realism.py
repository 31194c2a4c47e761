"""`kinova_real`, the simulated stand-in: each shift by itself, and demonstrations with them all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from demonstrated import SEEDS, demonstrations

from glam_jax import schema
from glam_jax.own_data import colours, tracking
from glam_jax.sim import experts, human, realism, render, scenes
from glam_jax.sim.env import make_env, simulation_options
from glam_jax.sim.robots import ROBOTS
from glam_jax.sim.tasks.lifting import LIFTING
from glam_jax.sim.tasks.path import Path

STAND_IN = realism.STAND_IN
DRIVER, VISUAL = STAND_IN.demonstrator, STAND_IN.visual
LONGER = LIFTING.plan_steps + DRIVER.most_paused


@pytest.fixture(scope="module")
def env():
    return make_env("lifting", "kinova_real")


@pytest.fixture(scope="module")
def shown(env):
    return demonstrations("lifting", "kinova_real")


def compiled(function, *arguments):
    return jax.jit(function, compiler_options=simulation_options())(*arguments)


# ---------------------------------------------------------------------- demonstrators


@functools.cache
def plans():
    """The lifting plans of the seeds, (50, T, ...)."""

    def plan(seed):
        key = jax.random.key(seed)
        return LIFTING.plan(jax.random.fold_in(key, 2), LIFTING.sample(key), LIFTING.plan_steps)

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(plan))(SEEDS))


def drive(function):
    """`function(path, key)` of every plan, as arrays."""
    keys = jax.vmap(jax.random.key)(SEEDS)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(function))(plans(), keys))


@functools.cache
def paused():
    return drive(lambda path, key: human.pausing(path, DRIVER, key, LONGER))


def _rows(path, world):
    """A path's steps as rows of numbers, with equal ones in a row once."""
    rows = np.concatenate([np.reshape(x[world], (x.shape[1], -1)) for x in path], axis=1)
    return rows[np.r_[True, (np.diff(rows, axis=0) != 0).any(axis=1)]]


def test_waits_lose_nothing_of_the_path_and_end_in_time():
    before = plans()
    for world in SEEDS:
        np.testing.assert_array_equal(_rows(paused(), world), _rows(before, world))
    # Where the clean plan is over, so is the other, at most `most_paused` steps later.
    last = np.s_[:, LIFTING.plan_steps - 1]
    np.testing.assert_array_equal(paused().position[:, -1], before.position[last])


def test_waits_are_where_one_move_ends_and_another_begins():
    before = plans()
    waits = []
    for world in SEEDS:
        ends = np.flatnonzero(human.ends_of_moves(jax.tree.map(lambda x: x[world], before)))  # noqa: B023
        assert 2 <= len(ends) <= 3  # over the cube, at it before or after the fingers close
        now, then = before.position[world, :, 0], paused().position[world, :, 0]
        for end in ends:
            same = np.sum((now == now[end]).all(axis=1)), np.sum((then == now[end]).all(axis=1))
            waits.append(same[1] - same[0])
    low, high = DRIVER.pause_steps
    waits = np.array(waits)
    assert set(np.unique(waits)) <= {0, *range(low, high + 1)}
    assert abs(np.mean(waits > 0) - DRIVER.pause_chance) < 0.15


def test_waits_never_add_up_to_more_than_allowed():
    time = jnp.arange(200, dtype=jnp.float32)
    steps = jnp.cumsum(0.02 * jnp.abs(jnp.sin(time / 3)))  # stops every ten steps
    position = jnp.stack([steps, 0 * steps, 0 * steps], axis=-1)[:, None]
    path = Path(position, jnp.zeros((200, 1)), jnp.ones((200, 1)))
    driven = human.pausing(path, DRIVER, jax.random.key(0), 200 + DRIVER.most_paused)
    arrived = np.argmax(np.asarray(driven.position[:, 0, 0]) == position[-1, 0, 0])
    assert arrived == 199 + DRIVER.most_paused


def test_the_wobble_is_slow_small_and_starts_from_rest():
    moved = drive(lambda path, key: human.wobbling(path, DRIVER, key)).position
    off = moved - plans().position
    largest = np.abs(off).max(axis=(0, 1, 2))
    assert (largest <= np.add(DRIVER.wobble, 1e-6)).all()
    assert (largest > 0.7 * np.array(DRIVER.wobble)).all()
    assert 5e-4 < off[:, 40:].std() < 2.5e-3
    np.testing.assert_array_equal(off[:, 0], 0.0)
    speed = np.abs(np.diff(off, axis=1)) * scenes.CONTROL_HZ
    assert (speed.max(axis=(0, 1, 2)) < 2 * np.pi * DRIVER.wobble_hz[1] * 1.5 * largest).all()


# ---------------------------------------------------------------------- pictures


def test_noise_has_its_deviation_and_follows_from_draw_and_step():
    grey = jnp.full((2, 64, 64, 3), 128, jnp.uint8)
    draw = jnp.array([1, 2], jnp.uint32)
    noisy = np.asarray(realism.sensor_noise(grey, draw, 3, 4.0))
    assert abs(noisy.mean() - 128) < 0.1 and abs(noisy.std() - 4.0) < 0.1
    np.testing.assert_array_equal(noisy, realism.sensor_noise(grey, draw, 3, 4.0))
    for other in (realism.sensor_noise(grey, draw, 4, 4.0),
                  realism.sensor_noise(grey, draw + 1, 3, 4.0)):  # fmt: skip
        assert abs(np.corrcoef(noisy.ravel(), np.ravel(other))[0, 1]) < 0.03
    np.testing.assert_array_equal(realism.sensor_noise(grey, draw, 3, 0.0), grey)
    assert realism.sensor_noise(jnp.zeros_like(grey), draw, 3, 4.0).max() < 30  # never wraps


def test_looks_vary_by_episode_around_other_colours(env):
    model = env.mj_model
    cube = [model.geom("cube").id]
    look = realism.make_look(VISUAL, model, cube)
    draws = jax.random.bits(jax.random.key(0), (200, 2), jnp.uint32)
    looks = jax.tree.map(np.asarray, jax.jit(jax.vmap(look))(draws))
    plain = render.default_look(model)
    table = looks.colours[:, model.geom("table").id]
    np.testing.assert_allclose(table.mean(axis=0), VISUAL.table, atol=0.02)
    np.testing.assert_allclose(
        looks.colours[:, cube[0]].mean(axis=0), plain.colours[cube[0]] * VISUAL.tint, atol=0.03
    )
    relative = table / np.array(VISUAL.table) - 1
    most = (1 + VISUAL.colour_jitter) * (1 + VISUAL.thing_jitter) - 1
    assert VISUAL.colour_jitter < np.abs(relative).max() <= most + 1e-5
    # What is painted alike changes alike, and table and arm do not.
    links = [model.geom(f"arm0_{name}").id for name in ("joint_1", "joint_4")]
    np.testing.assert_array_equal(looks.colours[:, links[0]], looks.colours[:, links[1]])
    arm = looks.colours[:, links[0]] / np.array(VISUAL.hand) - 1
    assert 0.03 < (relative - arm).std() < VISUAL.thing_jitter
    assert np.abs(looks.ambient - VISUAL.ambient).max() <= VISUAL.ambient_jitter + 1e-6
    assert (looks.light.std(axis=0) > 0.05).all() and (looks.light[:, 2] > 0).all()
    angle = looks.light.mean(axis=0) @ plain.light / np.linalg.norm(plain.light)
    assert angle < 0.9 * np.linalg.norm(looks.light.mean(axis=0))


def test_waves_of_colour_have_their_lengths_and_contrast(env):
    look = realism.make_look(VISUAL, env.mj_model, [env.mj_model.geom("cube").id])
    draws = jax.random.bits(jax.random.key(0), (200, 2), jnp.uint32)
    pattern = jax.tree.map(np.asarray, jax.jit(jax.vmap(look))(draws)).pattern
    assert pattern.frequency.shape == (200, VISUAL.waves, 3)
    length = 1 / np.linalg.norm(pattern.frequency, axis=-1)
    low, high = VISUAL.wave_length
    assert low * 0.999 < length.min() < low * 1.05 and high / 1.05 < length.max() < high * 1.001
    assert not pattern.frequency[..., 2].any()  # along the table
    largest = np.abs(pattern.contrast).max()
    assert 0.99 * VISUAL.wave_contrast < largest <= VISUAL.wave_contrast


def test_pictures_follow_from_the_state_and_masks_have_no_noise(env):
    def starts(seeds):
        return jax.vmap(lambda seed: env.sight(env.reset(jax.random.key(seed))))(seeds)

    sight = jax.tree.map(np.asarray, compiled(starts, np.array([5, 6], np.uint32)))
    assert (sight.draw[0, :2] != sight.draw[1, :2]).any() and not sight.draw[:, 2].any()
    one = jax.tree.map(lambda x: x[:1].repeat(4, axis=0), sight)
    one.draw[1:, 2] = 0, 7, 0
    one.draw[3, :2] = sight.draw[1, :2]
    seen = experts.render_frames(env, one)
    for view in schema.VIEWS:
        same, again, later, another = seen[f"image_{view}"].astype(int)
        np.testing.assert_array_equal(same, again)
        assert 4.0 < (same - later).std() < 7.5  # two noises of 4 levels, and no other change
        assert (
            np.abs((same - later).mean()) < 0.5 < np.abs((same - another).mean(axis=(0, 1))).max()
        )
        masks = seen[f"mask_{view}"]
        assert masks.any() and (masks == masks[0]).all()


def test_cameras_stand_beside_their_places_and_see_the_workspace(env):
    clean, real = make_env("lifting", "kinova").mj_model, env.mj_model
    for view in schema.VIEWS:
        moved = real.camera(view).pos - clean.camera(view).pos
        np.testing.assert_allclose(moved, VISUAL.camera_position[view], atol=1e-9)
        assert 0.002 < np.linalg.norm(moved) < 0.03
        assert (real.camera(view).quat != clean.camera(view).quat).any()


@pytest.mark.parametrize("task, name", [("lifting", "kinova"), ("stack_two", "umi")])
def test_clean_worlds_carry_nothing_of_it(task, name):
    world = make_env(task, name, 16)
    state = jax.eval_shape(world.reset, jax.random.key(0))
    assert state.real is None and jax.eval_shape(world.sight, state).draw is None
    assert (world.horizon, world.plan_steps) == (world.task.horizon, world.task.plan_steps)


def test_recordings_in_the_field_differ_in_looks_alone():
    world, arm = make_env("lifting", "umi", 32), make_env("lifting", "kinova", 32)
    ours, clean = world.mj_model, arm.mj_model
    assert (world.horizon, world.plan_steps) == (LIFTING.horizon, LIFTING.plan_steps)
    for view in schema.VIEWS:
        np.testing.assert_array_equal(ours.camera(view).pos, clean.camera(view).pos)
    np.testing.assert_array_equal(ours.geom("table").friction, clean.geom("table").friction)
    starts = jax.vmap(lambda seed: world.reset(jax.random.key(seed)))
    # They vary around the clean look, which is said a second time in `FIELD`.
    field, plain = realism.FIELD, render.default_look(clean)
    for given, expected in (
        (field.table, plain.colours[clean.geom("table").id]),
        (field.background, plain.background),
        (field.light, plain.light),
        (field.ambient, plain.ambient),
    ):
        np.testing.assert_allclose(given, expected, atol=1e-6)
    state = compiled(starts, np.array([5, 6], np.uint32))
    assert state.real.late.shape[1] == 0  # commands arrive at once
    table = np.asarray(jax.vmap(world._look)(state.real.draw).colours)
    table = table[:, ours.geom("table").id]
    assert np.abs(table[0] - table[1]).max() > 0.01


# ---------------------------------------------------------------------- dynamics


def test_friction_gains_and_armature_differ(env):
    clean, real = make_env("lifting", "kinova").mj_model, env.mj_model
    ratio = real.geom_friction[:, 0] / clean.geom_friction[:, 0]
    np.testing.assert_allclose(ratio, STAND_IN.dynamic.friction)
    np.testing.assert_array_equal(real.geom_friction[:, 1:], clean.geom_friction[:, 1:])
    assert (real.actuator_gainprm[:, 0] < clean.actuator_gainprm[:, 0]).all()
    assert (real.dof_armature[:7] > clean.dof_armature[:7]).all()
    np.testing.assert_array_equal(real.body_mass, clean.body_mass)


@pytest.mark.parametrize("latency", [0, 1, 3])
def test_commands_arrive_late(latency):
    condition = realism.start(latency, jax.random.key(0), jnp.full(2, -1.0))
    arrived = []
    for sent in range(5):
        target, condition = realism.delayed(condition, jnp.full(2, float(sent)))
        arrived.append(float(target[0]))
    assert arrived == ([-1.0] * latency + [0.0, 1.0, 2.0, 3.0, 4.0])[:5]


@pytest.mark.slow
def test_the_arm_answers_one_control_step_later_than_the_clean_one(shown):
    clean = demonstrations("lifting", "kinova")
    for ours, theirs in zip(shown[:10], clean[:10], strict=True):
        still = np.abs(ours.proprio[:2, :7] - ours.proprio[0, :7]).max()
        moved = np.abs(theirs.proprio[1, :7] - theirs.proprio[0, :7]).max()
        assert still < 1e-4 < moved
        np.testing.assert_allclose(ours.proprio[0], theirs.proprio[0], atol=1e-6)
    # The same plan, with waits: longer, and the same lift in the end.
    lengths = np.array(
        [(len(o.success), len(t.success)) for o, t in zip(shown, clean, strict=True)]
    )
    assert 5 < np.mean(lengths[:, 0] - lengths[:, 1]) < DRIVER.most_paused


# ---------------------------------------------------------------------- demonstrations


@pytest.mark.slow
def test_demonstrations_are_longer_by_no_more_than_their_waits(shown):
    assert all(len(one.success) <= LONGER for one in shown)


@pytest.fixture(scope="module")
def episodes(env):
    return experts.demonstrate(env, SEEDS[:2])


def test_demonstrations_are_seen_with_the_look_of_their_seed(env, episodes):
    first = compiled(lambda seed: env.observe(env.reset(jax.random.key(seed))), SEEDS[1])
    episode = episodes[1]
    assert (episode.source, episode.task, episode.success) == ("kinova_real", "lifting", True)
    assert set(episode.steps) == set(env.layout.step_arrays())
    for name, value in first.items():
        apart = np.abs(episode.steps[name][0].astype(float) - np.asarray(value, float))
        # A colour may round the other way in another batch.
        assert apart.max() <= (1 if name.startswith("image") else 1e-5)


@pytest.mark.parametrize("view", schema.VIEWS)
def test_the_cube_can_be_followed_by_its_colour(env, episodes, view):
    red = {"hue": (345, 15), "saturation": (0.6, 1), "value": (0.2, 1), "area": (0.002, 0.03)}
    for episode in episodes:
        images = episode.steps[f"image_{view}"]
        colour = colours.read(view, {"cube": red})
        tracker = tracking.Tracker(view, colour, env.control_hz, hold_s=1.0)
        masks = np.stack([tracker.next(image) for image in images])
        true = episode.steps[f"mask_{view}"][..., 0] > 0
        overlap = (masks & true).sum((1, 2)) / (masks | true).sum((1, 2))
        assert overlap.mean() > 0.95


def test_its_title_says_that_it_is_simulated():
    assert schema.title("kinova_real") == "kinova_real (simulated stand-in)"
    for name, robot in ROBOTS.items():
        assert ("simulated stand-in" in schema.title(name)) == (robot.realism is not None)
