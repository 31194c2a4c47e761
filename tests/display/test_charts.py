"""Figures of studies: what is drawn, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from glam_jax.display import charts
from glam_jax.display.charts import Curve


def pixels(path, colour):
    """How many pixels of a picture have a colour, "#rrggbb"."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.asarray(Image.open(path)) == wanted).all(axis=-1).sum())


def bars(path, rate, marks=None):
    series = {"a": [(rate, rate - 0.1, rate + 0.1), None], "b": [(0.5, 0.4, 0.6)] * 2}
    return charts.grouped_bars(path, ["one", "two"], series, marks or {}, "elsewhere")


def test_bars_are_as_high_as_their_rate(tmp_path):
    low, high = bars(tmp_path / "low.png", 0.2), bars(tmp_path / "high.png", 0.8)
    blue = charts.COLOURS[0]
    key = pixels(bars(tmp_path / "none.png", 0.0), blue)  # the legend's, and the bar of nothing
    ratio = (pixels(high, blue) - key) / (pixels(low, blue) - key)
    assert ratio == pytest.approx(4.0, rel=0.15)
    # The series without a bar in its second group has half the area of the other's two.
    assert pixels(high, charts.COLOURS[1]) > pixels(bars(tmp_path / "c.png", 0.5), blue) * 1.5


def test_marks_are_drawn_where_given(tmp_path):
    plain = np.asarray(Image.open(bars(tmp_path / "plain.png", 0.5)))
    marked = np.asarray(Image.open(bars(tmp_path / "m.png", 0.5, {"b": [0.9, None]})))
    assert plain.shape == marked.shape and (plain != marked).any()
    none = np.asarray(Image.open(bars(tmp_path / "n.png", 0.5, {"b": [None, None]})))
    np.testing.assert_array_equal(plain, none)


def test_long_names_fit_into_the_figure(tmp_path):
    series = {f"what the {word} series shows, in full": [(0.5, 0.4, 0.6)] for word in "abcde"}
    path = charts.grouped_bars(tmp_path / "x.png", ["a long name " * 4], series, {}, "")
    drawn = np.asarray(Image.open(path))
    assert (drawn[:, [0, -1]] == 255).all()  # nothing runs over the edge


def test_curves_with_references_share_a_colour(tmp_path):
    own = Curve([1, 2, 3], [0.1, 0.5, 0.9], [0.0, 0.4, 0.8], [0.2, 0.6, 1.0])
    other = Curve([1, 2, 3], [0.9, 0.5, 0.1], reference=True, like="ours")
    path = charts.curves(tmp_path / "one.png", {"rate": {"ours": own}}, "episodes", rates=("rate",))
    alone = pixels(path, charts.COLOURS[0])
    panels = {"rate": {"ours": own, "theirs": other}, "score": {"ours": own}}
    both = charts.curves(tmp_path / "both.png", panels, "episodes")
    assert pixels(both, charts.COLOURS[0]) > alone > 50
    assert pixels(both, charts.COLOURS[1]) == 0


def test_joint_trajectories_have_a_panel_for_each_joint_of_each_arm(tmp_path):
    way = np.linspace(0, 1, 30)[:, None] * np.arange(1, 9)
    series = {"expert": way, "ours": way[:20] + 0.1, "theirs": way[:0]}
    one = charts.joint_trajectories(tmp_path / "one.png", 20, series, reference="expert")
    assert pixels(one, charts.COLOURS[0]) > 50 and pixels(one, "#555555") > 50
    assert pixels(one, charts.COLOURS[1]) == 0  # nothing to draw of the third
    both = {label: np.concatenate([values, values], axis=1) for label, values in series.items()}
    two = charts.joint_trajectories(tmp_path / "two.png", 20, both, reference="expert")
    ratio = Image.open(two).height / Image.open(one).height
    assert ratio == pytest.approx(2.0, abs=0.2)


def test_trajectories_of_another_number_of_arms_are_refused(tmp_path):
    with pytest.raises(AssertionError, match="shape"):
        ways = {"a": [[0] * 8], "b": [[0] * 16]}
        charts.joint_trajectories(tmp_path / "x.png", 20, ways)
