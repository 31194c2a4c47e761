"""Parameters of the right shapes in no time: compiling a model's own initialisation is slow."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def random_params(init: Callable[[jax.Array], dict], seed: int = 0) -> dict:
    """What `init(key)` would return, filled with N(0, 0.3^2).

    Unlike a fresh model's, no parameter is zero: a gradient of zero is then no accident.
    """
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(init, jax.random.key(0))
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.3, s.shape), s.dtype), shapes)
