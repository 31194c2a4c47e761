"""The data pipeline alone: batches of both stages, drawn on the device or gathered on the host."""

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from glam_jax.benchmark import cost, training
from glam_jax.benchmark.case import Case, Sizes, Work

_ROWS = {"pretrain": "windows", "clone": "chunks"}


def cases(sizes: Sizes) -> Iterator[Case]:
    """Batches of the standard scale, of every batch size, from resident and from streamed data."""
    for stage, rows in _ROWS.items():
        for kind in ("resident", "streamed"):
            for batch in sizes.batches["standard"] or sizes.batches["paper"]:
                make = functools.partial(work, stage, kind, batch)
                yield Case(f"data/{rows} {kind}/batch {batch}", "row", batch, make)


def work(stage: str, kind: str, batch: int) -> Work:
    """A batch of a stage, "resident" or "streamed"."""
    config = training.config_of("standard", stage, batch)
    feed = training.feed_of(stage, config, kind == "resident")
    shapes = jax.eval_shape(feed.assemble, feed.fetch(0), jnp.int32(0))
    must = cost.Cost(0.0, 2.0 * cost.nbytes(shapes))  # gathered: read and written
    if kind == "resident":
        assemble, fetched, step = jax.jit(feed.assemble), feed.fetch(0), jnp.int32(0)
        return Work(lambda: assemble(fetched, step), must, warm_up=2)
    steps = itertools.count()
    return Work(lambda: jax.device_put(feed.fetch(next(steps))), must, warm_up=2)
