"""Demonstrations broken on purpose, as own data often are, to see that the audit notices."""

import dataclasses
from collections.abc import Callable

import numpy as np

from glam_jax.schema import EE_DIM, Episode, views_of

OFF = 0.03  # m, of poses in the world
AWAY = 0.10  # m, of another point of the hand, along its axis
SPEED = 1.5  # of faster demonstrations
MOVED = 0.1  # of a picture's width: about 10 cm of a camera that sees one metre


def shuffled(episode: Episode) -> Episode:
    """Its frames in random order, each picture still with its pose; the order follows the seed."""
    return _at(episode, np.random.default_rng(episode.seed).permutation(len(episode)))


def every_second_shuffled(episode: Episode) -> Episode:
    """`shuffled` where the seed is odd."""
    return shuffled(episode) if episode.seed % 2 else episode


def faster(episode: Episode) -> Episode:
    """At another speed, `SPEED` times its own. It breaks nothing that should matter."""
    return _at(episode, np.arange(0, len(episode), SPEED).astype(int))


def mirrored(episode: Episode) -> Episode:
    """Pictures and masks mirrored left to right, poses as they were: a camera set up wrongly."""
    return _pictures(episode, lambda array, view: array[:, :, ::-1])


def moved_camera(episode: Episode) -> Episode:
    """Pictures and masks of the cameras that stand still shifted sideways by `MOVED`, the edge
    repeated, as by cameras that stand elsewhere than the target's."""

    def shifted(array, view):
        if view.startswith("wrist"):
            return array
        by = round(MOVED * array.shape[2])
        return np.pad(array[:, :, :-by], ((0, 0), (0, 0), (by, 0), (0, 0)), mode="edge")

    return _pictures(episode, shifted)


def poses_off(episode: Episode) -> Episode:
    """Poses `OFF` off along x: another origin than the target's."""

    def off(pose):
        pose[..., 0] += OFF

    return _poses(episode, off)


def another_point(episode: Episode) -> Episode:
    """Poses of a point of the hand `AWAY` behind the one between the fingers."""

    def away(pose):
        pose[..., :3] -= AWAY * np.cross(pose[..., 3:6], pose[..., 6:9])

    return _poses(episode, away)


def inverted_opening(episode: Episode) -> Episode:
    """Openings that are 1 where the hand is closed."""

    def inverted(pose):
        pose[..., 9] = 1.0 - pose[..., 9]

    return _poses(episode, inverted)


BREAKAGES: dict[str, Callable[[Episode], Episode]] = {
    made.__name__: made
    for made in (
        shuffled,
        every_second_shuffled,
        faster,
        mirrored,
        moved_camera,
        poses_off,
        another_point,
        inverted_opening,
    )
}


def _at(episode: Episode, steps: np.ndarray) -> Episode:
    """The episode at some of its steps, in their order."""
    found = {name: array[steps] for name, array in episode.steps.items()}
    return dataclasses.replace(episode, steps=found)


def _pictures(episode: Episode, change: Callable[[np.ndarray, str], np.ndarray]) -> Episode:
    """The episode with its pictures and masks (T, H, W, C), of a view, changed."""
    changed = {
        name: np.ascontiguousarray(change(episode.steps[name], view))
        for view in views_of(episode.steps)
        for name in (f"image_{view}", f"mask_{view}")
    }
    return dataclasses.replace(episode, steps=episode.steps | changed)


def _poses(episode: Episode, change: Callable[[np.ndarray], None]) -> Episode:
    """The episode with a copy of its poses, (T, arms, 10), changed in place."""
    pose = episode.steps["ee_pose"].copy()
    change(pose.reshape(len(pose), -1, EE_DIM))
    return dataclasses.replace(episode, steps=episode.steps | {"ee_pose": pose})
