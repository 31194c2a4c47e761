"""Parts of a conversion: rotation forms, rates, picture sizes, and what a key map may say."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glam_jax.errors import DataError
from glam_jax.own_data import convert, images, key_map, masks, rotations
from glam_jax.own_data.raw_episode import RawEpisode
from glam_jax.own_data.resample import Resampler, keeps
from glam_jax.schema import Layout

TURNS = Rotation.from_euler("xyz", [[0.1, -0.4, 2.0], [0.0, 0.0, 0.0], [3.0, 0.2, -1.0]])
POSES = np.tile(np.eye(4), (3, 1, 1))
POSES[:, :3, :3], POSES[:, :3, 3] = TURNS.as_matrix(), [0.1, 0.2, 0.3]
STORED = {
    "quaternion_xyzw": TURNS.as_quat(),
    "quaternion_wxyz": -2.0 * 0.5 * TURNS.as_quat()[:, [3, 0, 1, 2]],  # q and -q are one rotation
    "rotation_vector": TURNS.as_rotvec(),
    "euler_xyz": TURNS.as_euler("xyz"),
    "euler_ZYX": TURNS.as_euler("ZYX"),
    "matrix": TURNS.as_matrix().reshape(-1, 9),
    "6d": TURNS.as_matrix()[:, :, :2].transpose(0, 2, 1).reshape(-1, 6),
    "6d_rows": TURNS.as_matrix()[:, :2].reshape(-1, 6),
    "matrix_4x4": POSES.reshape(-1, 16),
    "matrix_4x4_columns": POSES.transpose(0, 2, 1).reshape(-1, 16),
}


@pytest.mark.parametrize("form", STORED)
def test_every_rotation_form_gives_the_same_matrices(form):
    found = rotations.matrices(STORED[form], form)
    np.testing.assert_allclose(found, TURNS.as_matrix(), atol=1e-6)
    six = rotations.six(found)
    np.testing.assert_allclose(six[:, :3], TURNS.as_matrix()[:, :, 0], atol=1e-6)
    np.testing.assert_allclose(six[:, 3:], TURNS.as_matrix()[:, :, 1], atol=1e-6)


def test_what_needs_no_change_stays_bitwise():
    stored = STORED["6d"].astype(np.float32)
    kept = Resampler(3, 20.0, 20.0).rotations(rotations.matrices(stored, "6d"))
    np.testing.assert_array_equal(rotations.six(kept).astype(np.float32), stored)
    off = rotations.matrices(1.001 * stored, "6d")
    np.testing.assert_allclose(np.linalg.norm(off, axis=1), 1.0, atol=1e-12)


def test_degrees_are_not_radians():
    degrees = TURNS.as_euler("zyx", degrees=True)
    found = rotations.matrices(degrees, "euler_zyx", "deg")
    np.testing.assert_allclose(found, TURNS.as_matrix(), atol=1e-6)


@pytest.mark.parametrize(
    ("form", "values", "words"),
    [
        ("quaternion_xyzw", [[0, 0, 0, 1], [0, 0, 0, 0]], "step 1: length"),
        ("6d", [[1, 0, 0, 1, 0, 0]], "step 0: product"),
        ("matrix", [[1, 0, 0, 0, 1, 0, 0, 0, -1]], "determinant"),
        ("6d", [[1, 0, 0]], "6 numbers, found 3"),
        ("euler_xyy", [[0, 0, 0]], "quaternion_xyzw"),
        ("euler_xYz", [[0, 0, 0]], "rotation_form"),
    ],
)
def test_what_is_no_rotation_is_refused(form, values, words):
    with pytest.raises(ValueError, match=words):
        rotations.matrices(np.array(values, float), form)


def test_resampling_keeps_straight_lines_and_turns():
    t = np.arange(13) / 30.0
    at = Resampler(13, 30.0, 12.0)
    then = np.arange(5) / 12.0
    np.testing.assert_allclose(at.continuous(t[:, None])[:, 0], then)
    turning = Rotation.from_euler("z", 2.0 * t[:, None]).as_matrix()
    expected = Rotation.from_euler("z", 2.0 * then[:, None]).as_matrix()
    np.testing.assert_allclose(at.rotations(turning), expected, atol=1e-9)
    nearest = [0, 3, 5, 8, 10]
    np.testing.assert_array_equal(at.nearest(), nearest)
    assert [step for step in range(13) if keeps(step, 30.0, 12.0)] == [*nearest, 13][:5]
    # Steps 0 to 2.5: the last command before 2.5 is that of step 2; before 5 that of step 4.
    np.testing.assert_array_equal(at.commands(np.arange(13)[:, None])[:, 0], [2, 4, 7, 9, 12])


def test_differences_add_up_and_grippers_do_not():
    at = Resampler(7, 30.0, 10.0)
    actions = np.stack([np.full(7, 0.1), np.arange(7.0)], 1)
    found = at.increments(actions, arms=1)
    np.testing.assert_allclose(found, [[0.3, 2], [0.3, 5], [0.1, 6]])
    half = Resampler(7, 30.0, 20.0).increments(actions, arms=1)
    np.testing.assert_allclose(half[:, 0], [0.15, 0.15, 0.15, 0.15, 0.1])
    np.testing.assert_array_equal(half[:, 1], [1, 2, 4, 5, 6])


@pytest.mark.parametrize(
    ("fit", "rows", "columns"),
    [("crop", (0, 8), (0, 4)), ("pad", (2, 6), (2, 4)), ("stretch", (0, 8), (2, 4))],
)
def test_fit_says_what_becomes_of_wide_images(fit, rows, columns):
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:8] = 255  # the left half of the middle square
    expected = np.zeros((8, 8), bool)
    expected[slice(*rows), slice(*columns)] = True
    found = images.square(wide, 8, fit)
    assert found.shape == (8, 8, 3)
    np.testing.assert_array_equal(found[..., 0] > 128, expected)
    mask = images.square_mask(wide[..., 0] > 0, 8, fit)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask[..., 0], expected)


CUBE = {"cube": {"hue": (340, 20), "saturation": (0.5, 1)}}
MAP = {
    "path": "somewhere",
    "rate_hz": 10.0,
    "views": {"front": "image", "overhead": ""},
    "position": "state[0:3]",
    "rotation": "state[3:7]",
    "gripper": "state[7]",
    "rotation_form": "quaternion_xyzw",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"postion": "x"}, "own.sources.arm.postion: no such key; did you mean position"),
        ({"position_unit": "inch"}, "position_unit is 'inch', expected m or cm or mm"),
        ({"rotation_form": "quat"}, "rotation_form is 'quat'"),
        ({"masks": {"side": "mask"}}, "masks has .side., expected views: front, overhead"),
        ({"position": ("a", "b")}, "position has 2 keys, expected 1"),
        ({"action": "action"}, "both be given"),
        ({"gripper": "state[7"}, "expected a key"),
        ({"gripper_open": 0.0}, "equal"),
        ({"rate_hz": 0.0}, "rate_hz"),
        (
            {"image_forms": {"front": {"turn": 45}}},
            "front.turn is 45, expected 0 or 90",
        ),
        ({"image_forms": {"front": {"trun": 90}}}, "front.trun: no such key; did you mean turn"),
        ({"image_forms": {"front": {"crop": (0, 0, 9)}}}, "front.crop is .0, 0, 9."),
        ({"robot_file": "arm.urdf"}, "robot_file is given, and position"),
        ({"position": "", "rotation": ""}, "gripper is given without position"),
        ({"rotation": ""}, "position and rotation must both"),
        ({"on_bad": "ignore"}, "on_bad is 'ignore', expected error or skip"),
        ({"text_has": "cup"}, "text_has is given, but text"),
        ({"views": {"front": ""}}, "views has no key"),
        (
            {"mask_colours": {"front": {"cube": {"hue": 20}}, "overhead": {}}},
            "arm: .*front.cube.hu",
        ),
        ({"mask_colours": {"front": "", "overhead": CUBE}}, "overhead view.*views has no key"),
        ({"mask_folder": {"front": "", "overhead": "a"}}, "mask_folder of the overhead view"),
        (
            {
                "masks": {"front": "mask", "overhead": ""},
                "mask_folder": {"front": "a", "overhead": ""},
            },
            "masks and mask_folder of the front view are given; choose one",
        ),
        ({"mask_hold_s": -1.0}, "mask_hold_s is -1.0"),
    ],
)
def test_a_wrong_key_map_is_refused_by_name(change, words):
    with pytest.raises(DataError, match=words):
        key_map.read("arm", MAP | change, arms=1)
    with pytest.raises(DataError, match="rate_hz.*missing"):
        key_map.read("arm", {k: v for k, v in MAP.items() if k != "rate_hz"}, arms=1)


def test_only_ways_to_get_masks_that_are_used_ask_for_another_conversion():
    plain = key_map.read("arm", MAP, arms=1)
    assert not plain.has_masks
    assert not {"mask_colours", "mask_folder", "mask_hold_s"} & set(plain.stored_form())
    made = [
        key_map.read(
            "arm", MAP | {"mask_colours": {"front": CUBE, "overhead": {}}} | change, arms=1
        )
        for change in ({}, {"mask_hold_s": 2.0})
    ]
    assert made[0].has_masks and made[0].stored_form() != made[1].stored_form()


def test_frames_and_tools_are_applied():
    quarter = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))  # about z
    change = {"base_position": (1.0, 0.0, 0.0), "base_rotation": quarter}
    keys = key_map.read("arm", MAP | change | {"tool_offset": (0.1, 0.0, 0.0)}, arms=1)
    stored = {"image": np.zeros((8, 8, 3), np.uint8)}
    state = [0.5, 0.0, 0.2, 0.0, 0.0, 0.0, 1.0]
    converter = convert.Converter(keys, convert.Aim(Layout(1, 8, True), 10.0, "other"))
    raw = RawEpisode(0, iter(stored | {"state": np.array([*state, o])} for o in (0.25, 2.0)))
    steps, _ = converter.episode(raw, masks.ViewMasks(keys, "train", 0))
    assert set(steps) == set(converter.aim.layout_of(keys).step_arrays())
    expected = [1.0, 0.6, 0.2, 0, 1, 0, -1, 0, 0, 0.25]
    np.testing.assert_allclose(steps["ee_pose"][0], expected, atol=1e-6)
    assert steps["ee_pose"][1, 9] == 1.0  # clipped
    # A policy is given what training was given.
    alone = converter.observation(stored | {"state": np.array([*state, 0.25])})
    for name, array in alone.items():
        np.testing.assert_array_equal(array, steps[name][0])
