"""Closed-loop rollouts: receding horizon, batching, and what is recorded."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from point_world import PointWorld, start_and_goal, steps_to_reach

from glam_jax.evaluation.replay import hold_last
from glam_jax.evaluation.rollout import rollout
from glam_jax.sim.env import make_env
from glam_jax.sim.experts import simulate

WORLD = PointWorld()
CHUNK = 6
SEEDS = [1_000_000, 1_000_001, 1_000_002, 7, 8]


def _chunk(values_BxN):
    """(B, N) held for a chunk of actions (B, K, A), the other entries 0."""
    action = jnp.pad(values_BxN, ((0, 0), (0, 8 - values_BxN.shape[1])))
    return jnp.repeat(action[:, None], CHUNK, axis=1)


def reach(params, observation, keys):
    """Goes to the goal, displaced by params."""
    return _chunk(observation["proprio"][:, :3] + params)


def wander(params, observation, keys):
    """Goes to a random place, a new one for each action."""
    draw = functools.partial(jax.random.uniform, shape=(CHUNK, 8))
    return params * jax.vmap(draw)(keys)


def tell(params, observation, keys):
    """Acts out what it saw: index in the chunk, position, and a pixel of both views."""
    pixels = observation["image"][:, :, 1, 2, 0].astype(jnp.float32)
    chunk = _chunk(jnp.hstack([jnp.zeros((len(pixels), 1)), observation["ee_pose"][:, :3], pixels]))
    return chunk.at[:, :, 0].set(jnp.arange(CHUNK))


def test_success_and_steps_are_those_of_a_straight_reach():
    result = rollout(WORLD, reach, 0.0, SEEDS, execute=4)
    assert result.success.all()
    for seed, steps, path in zip(SEEDS, result.steps, result.trajectories(), strict=True):
        start, goal = start_and_goal(seed)
        assert steps == steps_to_reach(start, goal)
        assert path.shape == (steps, 3)
        np.testing.assert_allclose(path[0], start, atol=1e-6)


def test_failure_lasts_the_horizon():
    result = rollout(WORLD, reach, 0.1, SEEDS, execute=4)
    assert not result.success.any()
    assert (result.steps == WORLD.horizon).all()


@pytest.mark.parametrize("execute, horizon", [(1, 7), (4, 22), (6, 20)])
def test_each_decision_executes_the_head_of_a_fresh_chunk(execute, horizon):
    result = rollout(WORLD, tell, None, SEEDS, execute=execute, horizon=horizon)
    assert result.actions.shape == (len(SEEDS), horizon, 8)
    time = np.arange(horizon)
    np.testing.assert_array_equal(result.actions[..., 0], np.tile(time % execute, (len(SEEDS), 1)))
    decided = result.ee_position[:, time // execute * execute]
    np.testing.assert_allclose(result.actions[..., 1:4], decided, atol=1e-6)
    seen = np.clip(np.round(decided[..., :2] * 255), 0, 255)
    np.testing.assert_allclose(result.actions[..., 4:6], seen)


def test_a_seed_does_not_depend_on_its_batch():
    together = rollout(WORLD, wander, 1.0, SEEDS, execute=3)
    apart = rollout(WORLD, wander, 1.0, SEEDS[1:], execute=3, batch=3)
    np.testing.assert_allclose(apart.actions, together.actions[1:], atol=1e-6)
    np.testing.assert_allclose(apart.ee_position, together.ee_position[1:], atol=1e-6)


def test_random_numbers_differ_between_worlds_and_decisions():
    result = rollout(WORLD, wander, 1.0, SEEDS, execute=3, horizon=21)
    chunks = result.actions.reshape(len(SEEDS) * 7, -1)
    assert len(np.unique(chunks, axis=0)) == len(chunks)


def test_policy_is_compiled_once_and_its_parameters_are_arguments():
    traced = []

    def policy(params, observation, keys):
        traced.append(observation["image"].shape)
        return reach(params, observation, keys)

    good = rollout(WORLD, policy, np.float32(0.0), SEEDS, execute=4, batch=2)
    # Scan may trace its body more than once, but only while it compiles.
    once = len(traced)
    bad = rollout(WORLD, policy, np.float32(0.1), SEEDS[::-1], execute=4, batch=2)
    assert once == len(traced) and set(traced) == {(2, 2, 4, 4, 3)}
    assert good.success.all() and not bad.success.any()


class Bounded(PointWorld):
    action_bounds = np.full(8, -1.0), np.full(8, 2.5)


def test_actions_outside_of_the_robots_bounds_are_counted_and_left_to_it():
    free, bound = (
        rollout(world, tell, None, SEEDS, execute=5, horizon=20) for world in (WORLD, Bounded())
    )
    assert (free.clipped == 0).all()
    np.testing.assert_array_equal(bound.actions, free.actions)
    # Of 5 executed steps the indices 3 and 4 exceed 2.5, and so do both pixels in all steps.
    np.testing.assert_allclose(bound.clipped, (2 + 2 * 5) / (5 * 8))


def test_film_keeps_what_is_seen_of_the_first_worlds():
    result = rollout(WORLD, reach, 0.0, SEEDS, execute=4, batch=2, film=3)
    places, rotations, _ = result.sight
    assert places.shape == (3, WORLD.horizon, 2, 3)
    assert rotations.shape == (3, WORLD.horizon, 2, 3, 3)
    np.testing.assert_array_equal(places[:, :, 0], result.ee_position[:3])
    unfilmed = rollout(WORLD, reach, 0.0, SEEDS, execute=4, batch=2)
    assert len(unfilmed.sight.geom_xpos) == 0


def test_progress_counts_worlds_without_padding():
    done = []
    rollout(WORLD, reach, 0.0, SEEDS, execute=4, batch=2, progress=done.append)
    assert done == [2, 2, 1]


def test_of_thousands_of_worlds_little_is_kept():
    """Positions, actions and flags; not what pictures follow from, which goes with its batch."""
    held = []

    def look(_):
        held.append(sum(array.nbytes for array in jax.live_arrays()))

    result = rollout(WORLD, reach, 0.0, range(3000), execute=4, batch=100, film=2, progress=look)
    assert result.success.all() and len(held) == 30
    grown = (held[-1] - held[0]) / 29  # on a CPU what is kept are the device's own arrays
    assert grown / (100 * 24) <= 12 + 32 + 1 + 8  # bytes of a world and step
    assert len(result.sight.geom_xpos) == 2


def test_divergence_is_no_success():
    result = rollout(WORLD, reach, np.nan, SEEDS[:2], execute=4)
    assert np.isnan(result.actions).any() and result.rate()["outcomes"] == "00"


def _short(params, observation, keys):
    return reach(params, observation, keys)[:, :2]


def _flat(params, observation, keys):
    return reach(params, observation, keys)[:, 0]


@pytest.mark.parametrize(
    "policy, seeds, options, found",
    [
        (_short, SEEDS, {"execute": 3}, "equal to .3. on axis .1. but got .2."),
        (_flat, SEEDS, {"execute": 3}, r"\(5, 8\)"),
        (reach, [], {"execute": 3}, "seeds"),
        (reach, [-1], {"execute": 3}, "-1"),
        (reach, [0.5], {"execute": 3}, "float"),
        (reach, SEEDS, {"execute": 0}, "execute is 0"),
        (reach, SEEDS, {"execute": 3, "horizon": 0}, "horizon is 0"),
        (reach, SEEDS, {"execute": 3, "batch": 0}, "batch is 0"),
    ],
)
def test_bad_input_is_refused(policy, seeds, options, found):
    with pytest.raises((ValueError, AssertionError), match=found):
        rollout(WORLD, policy, 0.0, seeds, **options)


def retrace(demonstrations, observation, keys):
    """Finds where each world is in its own demonstration and goes on from there."""
    proprio_BxTxS, action_BxTxA = demonstrations
    apart = jnp.abs(proprio_BxTxS - observation["proprio"][:, None]).sum(-1)
    # Later steps of a standstill first, so that the policy never waits for ever.
    length = apart.shape[1]
    now = length - 1 - jnp.argmin(apart[:, ::-1], axis=1)
    rows = jnp.minimum(now[:, None] + jnp.arange(8), length - 1)
    return jnp.take_along_axis(action_BxTxA, rows[..., None], axis=1)


@pytest.mark.slow
def test_retracing_the_experts_demonstrations_lifts_the_cube():
    env = make_env("lifting", "kinova", 16)
    seeds = np.array([900_000, 900_001, 900_002])
    shown = simulate(env, seeds)
    length = max(len(one.success) for one in shown)
    demonstrations = tuple(
        np.stack([hold_last(getattr(one, name), length) for one in shown])
        for name in ("proprio", "action")
    )
    result = rollout(env, retrace, demonstrations, seeds, execute=8)
    assert result.success.tolist() == [bool(one.success[-1]) for one in shown]
    assert result.success.any()
    again = rollout(env, retrace, demonstrations, seeds, execute=8)
    np.testing.assert_array_equal(again.ee_position, result.ee_position)
