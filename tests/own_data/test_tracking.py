"""Masks by colour: which pixels have a colour, and objects followed through what covers them."""

import colorsys

import numpy as np
import pytest

from glam_jax.own_data import colours
from glam_jax.own_data.colours import Colour
from glam_jax.own_data.tracking import EMPTY, HELD, SEEN, Tracker

SIDE, RADIUS, RATE, STEPS = 48, 5, 10.0, 30
RED = {"hue": (340, 20), "saturation": (0.5, 1), "value": (0.2, 1), "area": (0.004, 0.2)}
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
GREY, PAINT = (90, 90, 95), (220, 30, 40)


def disc(column, row=24, radius=RADIUS):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def moving(cover=None, paint=PAINT):
    """(images, visible pixels) of a disc that moves right by a pixel a step, behind a cover."""
    shape = np.stack([disc(8 + step) for step in range(STEPS)])
    visible = shape & ~cover if cover is not None else shape
    images = np.full((STEPS, SIDE, SIDE, 3), GREY, np.uint8)
    images[visible] = paint
    return images, visible


def follow(images, hold_s=3.0, **objects):
    made = colours.read("front", objects or {"disc": RED})
    tracker = Tracker("front", made, RATE, hold_s)
    masks, tracks = np.stack([tracker.next(image) for image in images]), tracker.tracks()
    assert [t.name for t in tracks] == list(made)
    return masks, *tracks


# --- Colours ----------------------------------------------------------------------------


@pytest.mark.parametrize("hue", [(340.1, 20.1), (100.1, 140.1), (220.1, 250.1)])
def test_pixels_match_as_the_standard_librarys_hsv_says(rng, hue):
    colour = Colour(hue, (0.301, 0.901), (0.251, 0.801))
    image = rng.integers(0, 256, (40, 40, 3), np.uint8)
    hsv = np.array([colorsys.rgb_to_hsv(*p) for p in image.reshape(-1, 3) / 255])
    degrees = 360 * hsv[:, 0]
    low, high = hue
    inside = (
        (degrees >= low) & (degrees <= high) if low < high else (degrees >= low) | (degrees <= high)
    )
    for values, (low, high) in ((hsv[:, 1], colour.saturation), (hsv[:, 2], colour.value)):
        inside &= (values >= low) & (values <= high)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(colour.matches(image).ravel(), inside)


def test_red_lies_on_both_sides_of_zero():
    image = np.uint8([[(220, 30, 60), (220, 60, 30), (220, 30, 220), (220, 200, 30), GREY]])
    assert Colour((340, 20), (0.5, 1)).matches(image).tolist() == [
        [True, True, False, False, False]
    ]
    assert Colour(saturation=(0, 0.1)).matches(image).tolist() == [[False] * 4 + [True]]


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"hue": (350, 370)}, r"cube.hue is \(350.0, 370.0\), expected 0 to 360 degrees"),
        ({"saturation": (0.5, 255)}, r"cube.saturation is .*expected 0 to 1"),
        ({"hue": (0, 9), "value": (0.9, 0.1)}, "cube.value is .*lower bound is above the upper"),
        ({"hue": (0, 9), "area": (0.0, 0.1)}, "area must be above 0"),
        ({"hue": 20}, "cube.hue is 20, expected two numbers"),
        ({"hue": ("red", 1)}, "expected two numbers"),
        ({"hues": (0, 9)}, "cube.hues: no such key; did you mean hue"),
        ({"area": (0.1, 0.2)}, "cube has no range of hue, saturation or value"),
        ((340, 20), "expected ranges of hue"),
    ],
)
def test_wrong_ranges_are_named(ranges, words):
    with pytest.raises(ValueError, match=words):
        colours.read("mask_colours.front", {"cube": ranges})


# --- Tracking ---------------------------------------------------------------------------


def test_a_disc_behind_a_post_keeps_its_last_mask_until_it_comes_out():
    post = (COLUMNS >= 18) & (COLUMNS < 30)  # wider than the disc: it is hidden for some steps
    images, visible = moving(post)
    masks, one = follow(images)
    least = RED["area"][0] * SIDE**2
    seen = visible.sum((1, 2)) >= least
    assert not seen[15] and seen[0] and seen[-1]
    np.testing.assert_array_equal(one.states, np.where(seen, SEEN, HELD))
    np.testing.assert_array_equal(masks[seen], visible[seen])
    first, last = np.flatnonzero(~seen)[[0, -1]]
    assert (masks[first : last + 1] == masks[first - 1]).all()
    np.testing.assert_allclose(one.areas, masks.mean((1, 2)))


def test_another_thing_of_that_colour_elsewhere_is_left_alone():
    post = (COLUMNS >= 18) & (COLUMNS < 30)
    images, visible = moving(post)
    alone, _ = follow(images)
    images[8:, disc(40, row=6)] = PAINT  # larger than what is left of the disc
    masks, one = follow(images)
    np.testing.assert_array_equal(masks, alone)
    assert (one.states != EMPTY).all()


def test_what_is_hidden_for_too_long_is_empty_and_then_found_again():
    images, visible = moving()
    images[10:20] = GREY
    masks, one = follow(images, hold_s=0.4)
    np.testing.assert_array_equal(one.states, [SEEN] * 10 + [HELD] * 4 + [EMPTY] * 6 + [SEEN] * 10)
    assert (masks[10:14] == visible[9]).all() and not masks[14:20].any()
    np.testing.assert_array_equal(masks[20:], visible[20:])
    _, one = follow(images, hold_s=0.0)
    np.testing.assert_array_equal(one.states, [SEEN] * 10 + [EMPTY] * 10 + [SEEN] * 10)


def test_specks_go_holes_close_and_a_cut_object_stays_whole(rng):
    images, visible = moving()
    images[:, rng.random((SIDE, SIDE)) < 0.01] = PAINT
    images[visible] = PAINT
    for step in range(STEPS):
        images[step, 24, 8 + step] = GREY  # a hole
    masks, _ = follow(images)
    around = np.stack([disc(8 + step, radius=RADIUS + 2) for step in range(STEPS)])
    assert (masks & visible == visible).all() and not (masks & ~around).any()
    images, visible = moving()
    finger = np.zeros_like(visible)
    for step in range(5, STEPS):
        finger[step, :, 7 + step : 9 + step] = True
    images[finger] = GREY
    masks, _ = follow(images)
    np.testing.assert_array_equal(masks, visible & ~finger)


def test_light_may_change_within_the_ranges():
    images, visible = moving()
    gain = np.linspace(1.0, 0.4, STEPS)[:, None, None, None]
    dimmed = (images * gain).astype(np.uint8)
    np.testing.assert_array_equal(follow(dimmed)[0], visible)
    warm = np.clip(images * np.array([1.1, 1.0, 0.7]), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(follow(warm)[0], visible)
    assert not follow((images * 0.2).astype(np.uint8))[0].any()


def test_two_things_of_one_colour_are_two_objects():
    images, visible = moving()
    other = disc(30, row=40, radius=4)
    images[:, other] = PAINT
    images[12:15, other] = GREY  # covered; the first is too far to be taken for it
    masks, one, two = follow(images, first=RED, second=RED)
    np.testing.assert_array_equal(masks, visible | other)
    assert (one.states == SEEN).all()
    np.testing.assert_array_equal(np.flatnonzero(two.states == HELD), [12, 13, 14])


def test_an_area_that_cannot_be_the_object_is_not_it():
    images, visible = moving()
    images[10] = PAINT  # all of it: a flash
    masks, one = follow(images)
    assert one.states[10] == HELD and (masks[10] == visible[9]).all()
    np.testing.assert_array_equal(masks[11:], visible[11:])
