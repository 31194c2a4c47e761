"""Statistics and scalings."""

import dataclasses

import numpy as np
import pytest

from glam_jax import schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.errors import DataError

LAYOUT = schema.Layout(arms=1, image_size=4, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=4, has_actions=False)


def fake(layout, seeds, length=12):
    source = "kinova" if layout.has_actions else "umi"
    return [schema.fake_episode(layout, length, seed, source=source) for seed in seeds]


def test_hand_worked_statistics():
    stats = normalize.array_statistics(np.array([[0.0, 1.0], [4.0, 1.0]]))
    np.testing.assert_allclose(stats["mean"], [2, 1])
    np.testing.assert_allclose(stats["std"], [2, 1])  # what is constant is 0 when it is scaled
    np.testing.assert_allclose(stats["min"], [0, 0])
    np.testing.assert_allclose(stats["max"], [4, 2])
    assert all(value.dtype == np.float32 for value in stats.values())


def test_one_step_differences_do_not_cross_episodes():
    episodes = fake(LAYOUT, range(2), length=3)
    for i, episode in enumerate(episodes):
        steps = np.arange(3, dtype=np.float32)[:, None] * np.array([1.0, -1.0])[i]
        episode.steps["ee_pose"] = (100.0 * i + steps * np.ones(10)).astype(np.float32)
    stats = normalize.statistics(Store(episodes))
    # Differences are +1, +1, -1, -1; the jump of 100 between episodes is none of them.
    np.testing.assert_allclose(stats["ee_pose"]["diff_std"], np.ones(10), rtol=1e-6)


def test_target_keys_come_from_target_only_and_pose_from_all():
    target, auxiliary = fake(LAYOUT, range(3)), fake(AUXILIARY, range(3, 6))
    alone, mixed = (normalize.statistics(Store(target, more)) for more in ((), auxiliary))
    for key in ("proprio", "action"):
        for name in alone[key]:
            np.testing.assert_array_equal(alone[key][name], mixed[key][name])
    poses = np.concatenate([e.steps["ee_pose"] for e in [*target, *auxiliary]])
    np.testing.assert_allclose(mixed["ee_pose"]["mean"], poses.mean(0), rtol=1e-5)
    assert not np.allclose(alone["ee_pose"]["mean"], mixed["ee_pose"]["mean"])
    assert "diff_std" in mixed["proprio"] and "diff_std" not in mixed["action"]


@pytest.mark.parametrize(
    "forward, inverse",
    [
        (normalize.normalize, normalize.unnormalize),
        (normalize.normalize_range, normalize.unnormalize_range),
    ],
)
def test_inverse_undoes_forward(forward, inverse):
    x = np.random.default_rng(0).normal(3.0, 2.0, (50, 4)).astype(np.float32)
    x[:, 1] = 7.0  # a dimension that does not move
    stats = normalize.array_statistics(x)
    scaled = forward(x, stats)
    assert np.abs(scaled).max() < 10
    np.testing.assert_allclose(scaled[:, 1], 0, atol=1e-5)
    np.testing.assert_allclose(inverse(scaled, stats), x, atol=1e-5)


def test_range_maps_extremes_to_unit():
    stats = normalize.array_statistics(np.array([[-3.0], [5.0]]))
    np.testing.assert_allclose(
        normalize.normalize_range(np.array([[-3.0], [1.0], [5.0]]), stats), [[-1], [0], [1]]
    )


def test_noise_in_a_still_dimension_stays_small():
    x = 0.5 + 1e-6 * np.random.default_rng(0).normal(size=(100, 1))
    assert np.abs(normalize.normalize(x, normalize.array_statistics(x))).max() < 1e-3


def test_small_motions_are_scaled_like_large_ones_but_not_the_noise_of_rotations():
    episode = fake(LAYOUT, [0], length=50)[0]
    move = np.random.default_rng(0).normal(size=(50, 8))
    episode.steps["action"] = (1e-4 * move).astype(np.float32)
    episode.steps["action"][-1] = 1e3  # starts no transition
    episode.steps["ee_pose"] = np.tile(1e-4 * move[:, :1], 10).astype(np.float32)
    stats = normalize.statistics(Store([episode]))
    actions = normalize.normalize(episode.steps["action"][:-1], stats["action"])
    np.testing.assert_allclose(actions.std(0), 1.0, rtol=1e-4)
    assert (
        np.abs(normalize.normalize_range(episode.steps["action"][:-1], stats["action"])).max()
        < 1.01
    )
    poses = normalize.normalize(episode.steps["ee_pose"], stats["ee_pose"]).std(0)
    np.testing.assert_allclose(poses[[0, 1, 2, 9]], 1.0, rtol=1e-4)
    assert poses[3:9].max() < 0.02


def test_what_actions_did_at_most():
    episodes = fake(LAYOUT, range(2), length=4)
    for i, episode in enumerate(episodes):
        episode.steps["action"][:] = 5.0
        episode.steps["action"][:, 0] = 100 * i + np.array([0, 1, -2, 50])
    action = normalize.statistics(Store(episodes))["action"]
    # The last action starts no transition; no step leads from one episode to the next.
    np.testing.assert_allclose([action[name][0] for name in ("low", "high", "step")], [-2, 101, 3])
    np.testing.assert_allclose([action[name][1] for name in ("low", "high", "step")], [5, 5, 0])
    short = fake(LAYOUT, [0], length=2)
    assert np.isinf(normalize.statistics(Store(short))["action"]["step"]).all()


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.array([[np.nan]])])
def test_bad_rows(rows):
    with pytest.raises(ValueError, match="finite rows"):
        normalize.array_statistics(rows)


def test_the_same_data_are_told_from_others():
    stats = normalize.statistics(Store(fake(LAYOUT, range(3))))
    near = {k: names | {"mean": names["mean"] + 1e-3 * names["std"]} for k, names in stats.items()}
    for earlier in ({}, stats, near):
        normalize.check_same(earlier, stats, "run")
    others = normalize.statistics(Store(fake(LAYOUT, range(1, 4))))
    two_arms = normalize.statistics(Store(fake(dataclasses.replace(LAYOUT, arms=2), range(3))))
    for earlier in (others, two_arms):
        with pytest.raises(DataError, match="run was trained with other data: mean of ee_pose was"):
            normalize.check_same(earlier, stats, "run")
