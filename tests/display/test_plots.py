"""Loss curves and reconstruction grids."""

import numpy as np
import pytest
from PIL import Image

from glam_jax.display import plots


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plots, "SIDE", 8)


def test_curves_draws_every_metric(tmp_path):
    steps = np.arange(50)
    one = {"loss": (steps, np.exp(-steps / 10.0))}
    gaps = {"kl": (steps, np.where(steps == 7, np.nan, -1.0)), "none": (steps, [np.nan] * 50)}
    small = np.asarray(Image.open(plots.curves(tmp_path / "one.png", one)))
    large = np.asarray(
        Image.open(plots.curves(tmp_path / "all.png", {**one, **gaps, "b": one["loss"]}))
    )
    assert large.shape[0] > small.shape[0] and large.shape[1] > small.shape[1]
    # The blue of the curve, which axes and text do not have.
    assert ((small[..., 2] > 120) & (small[..., 0] < 80)).sum() > 50


def test_reconstructions_put_each_view_above_its_own(tmp_path):
    images = np.zeros((2, 2, 4, 4, 3), np.uint8)
    images[:, 0], images[:, 1] = 51, 204
    decoded = np.full(images.shape, 1.0, np.float32)
    picture = np.asarray(Image.open(plots.reconstructions(tmp_path / "r.png", images, decoded)))
    assert picture.shape == (4 * 10 - 2, 2 * 10 - 2, 3)
    np.testing.assert_array_equal(picture[[4, 14, 24, 34], 4, 0], [51, 255, 204, 255])


def test_reconstructions_show_masks_in_black_and_white(tmp_path):
    masks = np.zeros((1, 2, 4, 4, 1), np.uint8)
    masks[:, 1] = 1
    decoded = np.full(masks.shape, 0.5, np.float32)
    picture = np.asarray(Image.open(plots.reconstructions(tmp_path / "m.png", masks, decoded)))
    assert picture[[4, 14, 24, 34], 4].tolist() == [[0] * 3, [128] * 3, [255] * 3, [128] * 3]


def test_reconstructions_of_another_shape_are_refused(tmp_path):
    images = np.zeros((2, 1, 4, 4, 3), np.uint8)
    with pytest.raises(AssertionError, match="shape"):
        plots.reconstructions(tmp_path / "x.png", images, images[:1])
