"""Sheets of demonstrations show every frame that they should."""

import commands
import numpy as np

from glam_jax import schema

gallery = commands.load("glam_jax.gallery")


def test_a_sheet_shows_both_views_and_their_masks_from_first_to_last():
    episode = schema.fake_episode(schema.Layout(1, 16, False), length=11)
    picture = gallery.sheet(episode)
    side, gap = gallery.SIDE, 2
    bar = picture.shape[0] - (4 * (side + gap) - gap)
    assert bar > 0 and picture.shape[1] == gallery.FRAMES * (side + gap) - gap

    def cell(row, column):
        top, left = bar + row * (side + gap), column * (side + gap)
        return picture[top : top + side : side // 16, left : left + side : side // 16]

    np.testing.assert_array_equal(cell(0, 0), episode.steps["image_front"][0])
    np.testing.assert_array_equal(cell(2, 5), episode.steps["image_overhead"][-1])
    np.testing.assert_array_equal(
        cell(3, 1)[..., 0], episode.steps["mask_overhead"][2, ..., 0] * 255
    )
