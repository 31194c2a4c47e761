"""Demonstrations broken on purpose, to see that the audit of a source notices."""

import dataclasses

import numpy as np

from glam_jax.schema import Episode


def shuffled(episode: Episode) -> Episode:
    """Its frames in random order, each picture still with its pose; the order follows the seed."""
    order = np.random.default_rng(episode.seed).permutation(len(episode))
    steps = {name: array[order] for name, array in episode.steps.items()}
    return dataclasses.replace(episode, steps=steps)


def mirrored(episode: Episode) -> Episode:
    """Pictures and masks mirrored left to right, poses as they were: a camera set up wrongly."""
    flipped = {
        name: np.ascontiguousarray(episode.steps[name][:, :, ::-1])
        for kind in ("image", "mask")
        for name in (f"{kind}_{view}" for view in episode.views)
    }
    return dataclasses.replace(episode, steps=episode.steps | flipped)


BREAKAGES = {"shuffled": shuffled, "mirrored": mirrored}
