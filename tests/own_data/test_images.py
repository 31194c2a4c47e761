"""Pictures in the forms in which others store them."""

import numpy as np
import pytest

from glam_jax.errors import DataError
from glam_jax.own_data.images import ImageForm

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
SCALED = RGB.astype(np.float32) / 255


@pytest.mark.parametrize(
    ("form", "stored"),
    [
        ({}, RGB),
        ({}, np.concatenate([RGB, RGB[..., :1]], -1)),  # RGBA
        ({}, RGB.astype(np.float32)),
        ({"high": 1.0}, SCALED),
        ({"low": -1.0, "high": 1.0}, 2 * SCALED - 1),
        ({"high": 65535.0}, RGB.astype(np.uint16) * 257),
        ({"channels": "first"}, RGB.transpose(2, 0, 1)),
        ({"channels": "first", "high": 1.0}, SCALED.transpose(2, 0, 1)),
        ({"colours": "bgr"}, RGB[..., ::-1]),
        ({"flip": "vertical"}, RGB[::-1]),
        ({"flip": "horizontal"}, RGB[:, ::-1]),
        ({"turn": 180}, RGB[::-1, ::-1]),
        ({"turn": 90}, np.rot90(RGB, -1)),
        ({"turn": 270}, np.rot90(RGB)),
        ({"crop": (2, 1, 6, 8)}, np.pad(RGB, ((2, 3), (1, 4), (0, 0)))),
        # First cropped, then flipped, then turned.
        (
            {"crop": (1, 0, 8, 6), "flip": "vertical", "turn": 90},
            np.pad(np.rot90(RGB, -1)[::-1], ((1, 0), (0, 2), (0, 0))),
        ),
    ],
)
def test_every_form_gives_the_same_picture(form, stored):
    np.testing.assert_array_equal(ImageForm(**form).picture(stored), RGB)


@pytest.mark.parametrize("stored", [RGB[..., 0], RGB[..., :1]])
def test_grey_pictures_have_three_equal_channels(stored):
    found = ImageForm(colours="grey").picture(stored)
    np.testing.assert_array_equal(found, RGB[..., :1].repeat(3, -1))


@pytest.mark.parametrize(
    ("form", "stored", "words"),
    [
        ({}, SCALED, "float32 from 0 to 0.976, expected 0 to 255; low and high"),
        ({"high": 1.0}, 2 * SCALED, "to 1.95, expected 0 to 1"),
        ({"high": 1.0}, np.full_like(SCALED, np.nan), "not finite"),
        ({}, RGB[..., 0], r"found uint8 \(6, 8\), expected \(H, W, C\) with C = 3"),
        ({}, RGB.transpose(2, 0, 1), r"found uint8 \(3, 6, 8\), expected"),
        ({"channels": "first"}, RGB, r"expected \(C, H, W\) with C = 3"),
        ({"crop": (3, 0, 4, 8)}, RGB, r"crop \(3, 0, 4, 8\) leaves the image of \(6, 8\)"),
        ({}, RGB.astype(str), "found <U3, expected numbers"),
    ],
)
def test_pictures_of_another_form_are_refused(form, stored, words):
    with pytest.raises(DataError, match=words):
        ImageForm(**form).picture(stored)
