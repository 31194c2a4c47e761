"""What is broken on purpose, and what stays as it was."""

import numpy as np
import pytest
import reaching

from glam_jax.demonstrations import breakage
from glam_jax.demonstrations.breakage import BREAKAGES, mirrored, shuffled

KINDS = {
    "shuffled": {"order"}, "every_second_shuffled": {"order"}, "faster": {"order"},
    "mirrored": {"pictures"}, "moved_camera": {"pictures"},
    "poses_off": {"poses"}, "another_point": {"poses"}, "inverted_opening": {"poses"},
}  # fmt: skip


def with_rotation(seed):
    """A reach whose hand points down."""
    made = reaching.episode(reaching.AUXILIARY, seed)
    made.steps["ee_pose"][:, 3:10] = (1, 0, 0, 0, -1, 0, 0.25)
    return made


@pytest.mark.parametrize("name", BREAKAGES)
def test_each_breaks_its_own_kind_and_leaves_the_original(name):
    whole, same = with_rotation(3), with_rotation(3)
    broken = BREAKAGES[name](whole).steps
    for key, array in same.steps.items():
        np.testing.assert_array_equal(whole.steps[key], array)
        kind = "poses" if key == "ee_pose" else "pictures"
        assert np.array_equal(broken[key], array) != bool(KINDS[name] & {kind, "order"}), key
    assert broken["ee_pose"].dtype == same.steps["ee_pose"].dtype


def test_poses_move_by_what_is_said():
    whole = with_rotation(0)
    before = whole.steps["ee_pose"]
    off = breakage.poses_off(whole).steps["ee_pose"] - before
    np.testing.assert_allclose(off[:, 0], breakage.OFF, atol=1e-6)
    assert not off[:, 1:].any()
    away = breakage.another_point(whole).steps["ee_pose"] - before
    np.testing.assert_allclose(away[:, :3], np.tile([0, 0, breakage.AWAY], (20, 1)), atol=1e-6)
    assert (breakage.inverted_opening(whole).steps["ee_pose"][:, 9] == 0.75).all()


def test_every_second_is_every_second():
    kept = [
        breakage.every_second_shuffled(episode) is episode
        for episode in map(with_rotation, range(4))
    ]
    assert kept == [True, False, True, False]


def test_cameras_that_stand_still_move():
    whole = with_rotation(0)
    whole.steps["image_wrist"], whole.steps["mask_wrist"] = (
        whole.steps[f"{kind}_front"].copy() for kind in ("image", "mask")
    )
    moved, by = breakage.moved_camera(whole).steps, round(breakage.MOVED * reaching.SIDE)
    np.testing.assert_array_equal(
        moved["mask_front"][:, :, by:], whole.steps["mask_front"][:, :, :-by]
    )
    np.testing.assert_array_equal(moved["image_wrist"], whole.steps["image_wrist"])


def test_shuffling_keeps_each_picture_with_its_pose():
    whole = reaching.episode(reaching.AUXILIARY, 3)
    mixed = shuffled(whole)
    assert not np.array_equal(mixed.steps["ee_pose"], whole.steps["ee_pose"])
    places = {pose.tobytes(): i for i, pose in enumerate(whole.steps["ee_pose"])}
    order = [places[pose.tobytes()] for pose in mixed.steps["ee_pose"]]
    assert sorted(order) == list(range(len(whole)))
    np.testing.assert_array_equal(mixed.steps["image_front"], whole.steps["image_front"][order])


def test_mirroring_turns_pictures_and_leaves_poses():
    whole = reaching.episode(reaching.AUXILIARY, 3)
    turned = mirrored(whole).steps
    np.testing.assert_array_equal(turned["ee_pose"], whole.steps["ee_pose"])
    np.testing.assert_array_equal(
        turned["mask_front"][:, :, 0], whole.steps["mask_front"][:, :, -1]
    )
    again = mirrored(mirrored(whole)).steps
    assert all(np.array_equal(again[name], whole.steps[name]) for name in again)
