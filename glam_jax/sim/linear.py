"""Small symmetric systems, solved without LAPACK.

On CPU, jaxlib's LAPACK kernels wait inside XLA's thread pool for work that they give to that same
pool. Two of them that run at once on a machine of two cores wait for each other for ever, and XLA
runs at once whatever does not depend on each other.
"""

import jax
import jax.numpy as jnp


def solve(matrix: jax.Array, right: jax.Array) -> jax.Array:
    """x of A x = b for symmetric positive definite A (..., N, N) and b (..., N); N is small.

    Gauss-Jordan elimination without pivoting, unrolled over N: one pass over the whole batch for
    each unknown.
    """
    size = right.shape[-1]
    rows = jnp.concatenate([matrix, right[..., None]], axis=-1)
    for i in range(size):
        row = rows[..., i : i + 1, :] / rows[..., i : i + 1, i : i + 1]
        others = rows - rows[..., :, i : i + 1] * row
        rows = jnp.where((jnp.arange(size) == i)[:, None], row, others)
    return rows[..., -1]
