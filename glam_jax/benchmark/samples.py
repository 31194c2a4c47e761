"""Made-up demonstrations, parameters and labels, for speed alone: nothing to learn of them."""

import functools
import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.data import normalize
from glam_jax.data.store import Store

EPISODES = 4  # of each source
SEED = 0


@functools.lru_cache(maxsize=2)
def store(image_size: int, frames: int) -> tuple[Store, normalize.Statistics]:
    """Training data of one arm and one auxiliary source, and their statistics.

    Args:
      image_size: side of the pictures, pixels.
      frames: of each of the `EPISODES` episodes of either source.
    """
    made = Store(*_episodes(image_size, frames))
    return made, normalize.statistics(made)


def many(image_size: int, frames: int, episodes: int, modality: str) -> Store:
    """A store of `episodes`, a tenth of them target ones, that repeat few made-up ones; its images
    are in a file, as those of data that do not fit into memory."""
    target, auxiliary = _episodes(image_size, frames)

    def repeated(distinct: list, count: int) -> Iterator[schema.Episode]:
        return itertools.islice(itertools.cycle(distinct), count)

    targets = max(episodes // 10, 1)
    return Store(
        repeated(target, targets),
        repeated(auxiliary, episodes - targets),
        modalities=(modality,),
        memory_bytes=0,
    )


def _episodes(image_size: int, frames: int) -> list[list[schema.Episode]]:
    """Episodes of the target, and of the auxiliary source."""
    made = []
    for source, first in (("kinova", 0), ("umi", EPISODES)):
        views, seeds = (*schema.VIEWS, "wrist"), range(first, 2 * EPISODES)
        layout = schema.Layout(1, image_size, source == "kinova", views=views)
        episodes = (schema.fake_episode(layout, frames, i, "lifting", source) for i in seeds)
        made.append(list(itertools.islice(episodes, EPISODES)))
    return made


def params(init: Callable[[], dict], scale: float = 0.02) -> dict:
    """Small random numbers of the shapes that `init` would give, which is not run."""
    rng = np.random.default_rng(SEED)

    def draw(leaf):
        return jnp.asarray(rng.normal(scale=scale, size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(init))


def labels(data: Store, latent: int) -> np.ndarray:
    """Latents (n, Z) of all transitions of a store, made up."""
    rng = np.random.default_rng(SEED)
    return rng.normal(size=(len(data.transition_frames()), latent)).astype(np.float32)
