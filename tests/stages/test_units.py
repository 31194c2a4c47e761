"""From raw batches to what the models see: units, differences, and rows without actions."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax import schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.stages import units

TARGET = schema.Layout(arms=1, image_size=8, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=8, has_actions=False)
ROWS, TIME, CHUNK, LATENT = 4, 3, 5, 2


@pytest.fixture(scope="module")
def stats():
    target = [schema.fake_episode(TARGET, 20, seed) for seed in range(2)]
    auxiliary = [schema.fake_episode(AUXILIARY, 20, 5, source="umi")]
    labels = np.random.default_rng(0).normal(size=(50, LATENT))
    found = normalize.statistics(Store(target, auxiliary))
    return found | {"label": normalize.array_statistics(labels)}


@pytest.fixture(scope="module")
def batch():
    return schema.fake_batch(schema.window_batch_shapes(TARGET, ROWS, TIME, "mask"))


def test_windows_are_normalised_with_the_statistics_of_their_key(batch, stats):
    seen = units.windows(batch, stats)
    rows = batch["is_target"] == 1
    for key in ("ee_pose", "proprio", "action"):
        expected = (batch[key] - stats[key]["mean"]) / stats[key]["std"]
        np.testing.assert_allclose(seen[key][rows], expected[rows], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(seen["image"], batch["image"])


@pytest.mark.parametrize("key, step", [("ee_pose", "ee_step"), ("proprio", "proprio_step")])
def test_steps_are_differences_in_their_own_unit(batch, stats, key, step):
    seen = units.windows(batch, stats)
    rows = batch["is_target"] == 1
    raw = np.diff(batch[key], axis=1)[rows]
    np.testing.assert_allclose(seen[step][rows] * stats[key]["diff_std"], raw, rtol=1e-5)
    # Scaled, they are differences of what is normalised: the unit in which errors are measured.
    scaled = seen[step][rows] * seen[f"{step}_scale"]
    np.testing.assert_allclose(scaled, jnp.diff(seen[key][rows], axis=1), rtol=1e-3, atol=1e-4)


def test_auxiliary_rows_are_zero_in_all_that_only_a_target_has(batch, stats):
    seen = units.windows(batch, stats)
    rows = batch["is_target"] == 0
    for key in ("proprio", "proprio_step", "action"):
        np.testing.assert_array_equal(seen[key][rows], 0.0)
    for key in ("ee_pose", "ee_step"):
        assert (np.abs(seen[key][rows]).max(axis=(1, 2)) > 0).all()


def test_chunks_map_labels_to_the_range_of_the_noise(stats):
    shapes = schema.chunk_batch_shapes(TARGET, ROWS, CHUNK, LATENT)
    batch = schema.fake_batch(shapes)
    low, high = stats["label"]["min"], stats["label"]["max"]
    batch["label"][0, :3] = low, high, (low + high) / 2
    seen = units.chunks(batch, stats)
    expected = np.outer([-1.0, 1.0, 0.0], np.ones(LATENT))
    np.testing.assert_allclose(seen["label"][0, :3], expected, atol=1e-6)
    np.testing.assert_allclose(
        normalize.unnormalize(seen["action"], stats["action"]), batch["action"], atol=1e-5
    )
    np.testing.assert_array_equal(seen["valid"], batch["valid"])


def test_the_policys_answers_come_back_as_the_labels_and_actions_that_they_stand_for(stats):
    action = np.linspace(stats["action"]["min"], stats["action"]["max"], 5)
    decoded = normalize.normalize(action, stats["action"])
    np.testing.assert_allclose(units.robot_action(decoded, stats, True), action, atol=1e-5)
    # MIP's labels are actions, here of the lower half of the range.
    of_actions = units.label_statistics(action[:3], stats, latent=False)
    label = normalize.normalize_range(action[:3], of_actions["label"])
    assert label.min() == pytest.approx(-1) and label.max() == pytest.approx(1)
    found = units.robot_action(label, of_actions, False)
    np.testing.assert_allclose(found, action[:3], atol=1e-5)
    chex.assert_trees_all_close(
        units.robot_action(np.full(8, -9.0), stats, True), stats["action"]["min"]
    )


def test_an_observation_without_a_flag_is_the_target_robots(stats):
    shapes = schema.chunk_batch_shapes(TARGET, ROWS, CHUNK, LATENT)
    batch = schema.fake_batch(shapes)
    flagged = units.observation(batch, stats)
    np.testing.assert_array_equal(flagged["is_target"], batch["is_target"])
    live = units.observation({k: batch[k] for k in ("image", "ee_pose")}, stats)
    np.testing.assert_array_equal(live["is_target"], np.ones(ROWS))
    np.testing.assert_array_equal(live["ee_pose"], flagged["ee_pose"])
    assert "proprio" in flagged and "proprio" not in live
