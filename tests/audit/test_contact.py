"""Hands at grasps: a world in which an object lies where hands close on it."""

import dataclasses
import itertools

import numpy as np
import pytest

from glam_jax import config
from glam_jax.audit import contact
from glam_jax.demonstrations import breakage
from glam_jax.schema import Episode

SIDE, CLOSED = 32, 0.5


def episode(seed, source="umi", grasps=True):
    """A hand comes down on a cube, closes, and carries it; two cameras look across and down."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.3, 0.6, 2)
    ways = [(x + 0.1, y, 0.3), (x, y, 0.02), (x, y, 0.02), (x - 0.1, y - 0.1, 0.2)]
    position = np.concatenate([np.linspace(*way, 8) for way in itertools.pairwise(ways)])
    opening = np.where(np.arange(24) < 11, 1.0, CLOSED if grasps else 1.0)
    at = position.copy()
    at[:16] = ways[1]  # the cube lies there until it is carried
    pose = np.zeros((24, 10), np.float32)
    pose[:, :3], pose[:, 3], pose[:, 7], pose[:, 9] = position, 1.0, -1.0, opening
    steps = {"ee_pose": pose}
    for view, down in {"front": at[:, 2], "overhead": at[:, 0]}.items():
        rows, columns = np.mgrid[:SIDE, :SIDE]
        column = SIDE * (at[:, 1] - 0.2) / 0.5
        row = SIDE * (1.0 - (down + 0.1) / 0.8)
        mask = (abs(rows - row[:, None, None]) < 2.5) & (abs(columns - column[:, None, None]) < 2.5)
        steps[f"mask_{view}"] = mask[..., None].astype(np.uint8)
        steps[f"image_{view}"] = np.repeat(255 * steps[f"mask_{view}"], 3, axis=-1)
    return Episode(steps, "lifting", source, seed, True, "none")


@pytest.fixture(scope="module")
def target():
    """Training and held-out episodes."""
    return [episode(i) for i in range(50)], [episode(i) for i in range(100, 112)]


SOURCE = [episode(i) for i in range(200, 212)]


SETTINGS = config.make("lifting").audit


def test_hands_of_both_sources_are_where_the_object_says(target):
    found = contact.compare(*target, SOURCE)
    assert max(found.offset_mm) < 10 < SETTINGS.held_offset_mm
    assert found.opening == pytest.approx((CLOSED, CLOSED)) and found.seen == (12, 12)


@pytest.mark.parametrize("name", ["poses_off", "another_point", "mirrored", "moved_camera"])
def test_poses_and_cameras_that_do_not_agree_are_far_off(target, name):
    off, of_target = contact.compare(*target, broken(name)).offset_mm
    assert of_target < 10 and off > 1.5 * SETTINGS.held_offset_mm
    expected = {"poses_off": breakage.OFF, "another_point": breakage.AWAY}
    if name in expected:
        assert off == pytest.approx(1000 * expected[name], abs=8)


def test_openings_that_do_not_agree_differ(target):
    def wider(one):
        pose = one.steps["ee_pose"].copy()
        pose[:, 9] = np.where(pose[:, 9] < 1, CLOSED + 0.2, 1.0)
        return dataclasses.replace(one, steps=one.steps | {"ee_pose": pose})

    found = contact.compare(*target, list(map(wider, SOURCE)))
    assert found.offset_mm[0] < 10
    assert found.opening == pytest.approx((CLOSED + 0.2, CLOSED))


def test_what_never_grasps_has_no_numbers_where_the_target_has(target):
    for source in ([episode(i, grasps=False) for i in range(12)], broken("inverted_opening")):
        found = contact.compare(*target, source)
        assert np.isnan(found.offset_mm[0]) and np.isnan(found.opening[0])
        assert found.offset_mm[1] < 10


def test_where_the_target_does_not_grasp_nothing_is_asked():
    still = [episode(i, grasps=False) for i in range(30)]
    assert contact.compare(still, still[:5], SOURCE) is None
    few, many = [episode(i) for i in range(5)], [episode(i) for i in range(50)]
    assert contact.compare(few, few, SOURCE) is None
    assert contact.compare(many, still[:5], SOURCE) is None


def broken(name):
    return list(map(breakage.BREAKAGES[name], SOURCE))
