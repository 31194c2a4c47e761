"""Random draws of a batch's rows that do not depend on how the batch is cut into pieces.

A row's draws are keyed by its number in the whole batch, `batch["row"]`. So a batch may be cut
into consecutive pieces, and each computed on its own, with the noise it has as a whole.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def row_numbers(batch: dict, count: int) -> jax.Array:
    """Numbers (B,) of the rows: `batch["row"]`, or 0, 1, ... for a batch that does not say."""
    return batch["row"] if "row" in batch else jnp.arange(count, dtype=jnp.int32)


def per_row(draw: Callable, key: jax.Array, row_B: jax.Array) -> jax.Array:
    """draw(key of the row) for each row, stacked: (B, ...)."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, row_B)
    return jax.vmap(draw)(keys)


def normal(key: jax.Array, row_B: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise of rows, each of `shape`: (B, *shape)."""
    return per_row(lambda row_key: jax.random.normal(row_key, shape), key, row_B)


def one_of_every(
    size: int, key: jax.Array, row_B: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One row, drawn evenly, out of each run of `size` rows of the whole batch.

    Runs start at the multiples of `size`. A piece of the batch that starts inside one has the
    run's row or has not; so n is one more than it often needs to be, unless pieces are whole runs.

    Args:
      size: rows of a run. key: of the draw. row_B: consecutive numbers; pieces whose length
        divides into runs must begin with one.

    Returns:
      index (n,) of the rows in the piece, B where the run's row is not in it; weight (n,),
      `size` or 0: the sum over n of weight * value estimates the sum over rows without bias;
      run (n,), the number of each run, to key further draws by.
    """
    rows = len(row_B)
    count = rows // size if rows % size == 0 else (rows + size - 2) // size + 1
    run = row_B[0] // size + jnp.arange(count, dtype=jnp.int32)
    chosen = run * size + per_row(lambda k: jax.random.randint(k, (), 0, size), key, run)
    index = chosen - row_B[0]
    inside = (index >= 0) & (index < rows)
    return jnp.where(inside, index, rows), size * inside.astype(jnp.float32), run
