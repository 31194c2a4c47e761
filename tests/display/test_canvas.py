"""Grids, frames and captions."""

import numpy as np
from PIL import Image

from glam_jax.display import canvas


def test_tile_places_images_row_by_row():
    images = np.stack([np.full((4, 5, 3), 50 * (i + 1), np.uint8) for i in range(3)])
    picture = canvas.tile(images, columns=2)
    assert picture.shape == (10, 12, 3)
    assert (picture[:4, :5] == 50).all()
    assert (picture[:4, 7:] == 100).all()
    assert (picture[6:, :5] == 150).all()
    assert (picture[6:, 7:] == canvas.BACKGROUND).all()
    assert (picture[4:6] == canvas.BACKGROUND).all()


def test_tile_of_fewer_images_than_columns_has_no_empty_columns():
    assert canvas.tile(np.zeros((2, 4, 4, 3), np.uint8), columns=5).shape == (4, 10, 3)


def test_outline_leaves_the_inside_alone():
    framed = canvas.outline(np.full((8, 8, 3), 7, np.uint8), canvas.GREEN)
    assert (framed[3:-3, 3:-3] == 7).all()
    assert (framed[:3] == canvas.GREEN).all() and (framed[:, -3:] == canvas.GREEN).all()


def test_caption_adds_a_bar_with_text_above():
    image = np.full((40, 120, 3), 7, np.uint8)
    titled = canvas.caption(image, "step 12", canvas.RED)
    bar = titled[: len(titled) - 40]
    assert (titled[-40:] == image).all()
    assert (bar[0, 0] == canvas.RED).all() and bar[..., 2].max() > 200


def test_save_png_keeps_every_pixel_and_leaves_nothing_else(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    path = canvas.save_png(tmp_path / "new" / "grid.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), image)
    assert [p.name for p in path.parent.iterdir()] == ["grid.png"]


def test_a_long_caption_fits():
    image = np.zeros((10, 778, 3), np.uint8)
    text = "stack_three, kinova, simulated: front, overhead, wrist_left, wrist_right, with masks"
    bar = canvas.caption(image, text)[:-10]
    assert (bar[:, -4:] == canvas.GREY).all() and (bar[:, 600:] != canvas.GREY).any()
