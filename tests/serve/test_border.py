"""Observations at the border: what passes, and what is said of what does not."""

import numpy as np
import pytest

from glam_jax import schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.serve import border

LAYOUT = schema.Layout(arms=1, image_size=8, has_actions=True)
SPEC = border.observation_spec(LAYOUT)
EPISODE = schema.fake_episode(LAYOUT, 20)
ALLOWED = border.ranges(normalize.statistics(Store([EPISODE])), 1.0)


def seen(**changes):
    return {name: EPISODE.steps[name][3] for name in SPEC} | changes


def test_the_spec_is_a_step_without_masks_and_action():
    assert list(SPEC) == ["image_front", "image_overhead", "ee_pose", "proprio"]


def test_a_step_passes_and_numbers_become_float32():
    given = seen(ee_pose=EPISODE.steps["ee_pose"][3].astype(np.float64), proprio=[0] * 8)
    found = border.check(given, SPEC)
    assert {k: v.dtype for k, v in found.items()} == {k: dtype for k, (_, dtype) in SPEC.items()}
    np.testing.assert_array_equal(found["ee_pose"], EPISODE.steps["ee_pose"][3])
    np.testing.assert_array_equal(found["image_front"], EPISODE.steps["image_front"][3])


def test_a_batch_passes_with_its_number_of_rows():
    batch = {name: EPISODE.steps[name][:5] for name in SPEC}
    assert border.rows(batch, SPEC) == 5 and border.rows(seen(), SPEC) is None
    assert border.check(batch, SPEC, batch=5)["proprio"].shape == (5, 8)
    with pytest.raises(border.ObservationError, match=r"image_front: found shape \(5, 8, 8, 3\)"):
        border.check(batch, SPEC, batch=4)


def pose(value):
    array = np.zeros(10, np.float32)
    array[4] = value
    return array


BAD = [
    ({"ee_pose": np.zeros(9)}, r"ee_pose: found shape \(9,\); expected \(10,\)"),
    ({"image_front": np.zeros((8, 8, 3))}, "image_front: found dtype float64; expected uint8"),
    ({"image_overhead": np.zeros((1, 8, 8, 3), np.uint8)}, "image_overhead: found shape"),
    ({"proprio": np.array(["0"] * 8)}, "proprio: found dtype <U1; expected real numbers"),
    ({"proprio": [[0], [0, 1]]}, "proprio: found a ragged list"),
    ({"proprio": np.zeros(8, complex)}, "proprio: found dtype complex128"),
    ({"proprio": np.zeros(8, bool)}, "proprio: found dtype bool"),
    ({"ee_pose": pose(np.nan)}, r"ee_pose\[4\]: found a value that is not finite"),
    ({"ee_pose": pose(-np.inf)}, r"ee_pose\[4\]: found a value that is not finite"),
    ({"ee_pose": [1e300] * 10}, r"ee_pose\[0\]: found a value that is not finite"),
    ({"state": np.zeros(8)}, "unknown 'state'; expected image_front, "),
]


@pytest.mark.parametrize(("changes", "said"), BAD)
def test_what_is_wrong_is_named(changes, said):
    with pytest.raises(border.ObservationError, match=said):
        border.check(seen(**changes), SPEC)


@pytest.mark.parametrize("given", [None, [1, 2], {}])
def test_what_is_no_observation_is_refused(given):
    with pytest.raises(border.ObservationError):
        border.check(given, SPEC)


def test_ranges_by_hand():
    stats = {name: {"min": np.array([0.0, 1.0]), "max": np.array([2.0, 1.1])} for name in
             ("ee_pose", "proprio")}  # fmt: skip
    low, high = border.ranges(stats, 0.5)["proprio"]
    # Widths 2 and 0.1, the second taken as 0.5; half of that on both sides.
    np.testing.assert_allclose(low, [-1.0, 0.75])
    np.testing.assert_allclose(high, [3.0, 1.35])
    assert border.ranges(stats, -1.0) == {}


def test_what_is_out_of_range_is_named_as_the_client_does():
    border.check_ranges(seen(), ALLOWED, str)
    far = seen(proprio=np.append(np.zeros(7), 57.3))
    with pytest.raises(
        border.ObservationError, match=r"^degrees 7: found 57.3; expected -?\d.* to "
    ):
        border.check_ranges(far, ALLOWED, lambda name, i: f"degrees {i}")
    border.check_ranges(far, {}, str)


FREE = {"image": ((None, None, 3), np.dtype(np.float32)), "width": ((), np.dtype(np.float64))}


def test_sides_may_be_free_and_dtypes_exact():
    sent = {"image": np.zeros((5, 7, 3), np.float32), "width": 1, "prompt": "lift the cube"}
    found = border.check(sent, FREE, exact={"image"})
    assert found["image"].shape == (5, 7, 3) and found["width"].dtype == np.float64
    assert "prompt" not in found
    for wrong, said in (
        (np.zeros((5, 7, 3)), "image: found dtype float64; expected float32"),
        (
            np.zeros((5, 7), np.float32),
            r"image: found shape \(5, 7\); expected \(1 to 4096, 1 to 40",
        ),
        (np.zeros((0, 7, 3), np.float32), r"image: found shape \(0, 7, 3\)"),
        (np.zeros((1, 4097, 3), np.float32), r"image: found shape \(1, 4097, 3\)"),
        (np.full((5, 7, 3), np.nan, np.float32), r"image\[0, 0, 0\]: found a value"),
    ):
        with pytest.raises(border.ObservationError, match=said):
            border.check(sent | {"image": wrong}, FREE, exact={"image"})
