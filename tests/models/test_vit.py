"""The vision transformer by itself; test_dinov2_torch compares it with PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
from random_params import random_params

from glam_jax.models.dinov2 import vit

TINY = vit.DinoV2(depth=1, width=4, heads=2, patch=2, grid=3)


def test_cubic_weights_against_hand_worked_values():
    # Two outputs of four samples lie at 0.5 and 2.5: distances 1.5, 0.5, 0.5, 1.5, whose weights
    # are -3/32, 19/32, 19/32, -3/32; the sample before the first is the first again.
    expected = np.array([[16, 19, -3, 0], [0, -3, 19, 16]]) / 32
    np.testing.assert_allclose(vit.resize_matrix(2, 4, 0.0), expected, atol=1e-7)
    np.testing.assert_array_equal(vit.resize_matrix(37, 37, 0.1), np.eye(37))
    for size in (7, 16):
        np.testing.assert_allclose(vit.resize_matrix(size, 37, 0.1).sum(axis=1), 1.0, atol=1e-6)
        assert (
            np.abs(vit.resize_matrix(size, 37, 0.1) - vit.resize_matrix(size, 37, 0.0)).max() > 1e-2
        )


def test_rematerialisation_changes_no_gradient_and_bfloat16_little(rng):
    image = jnp.asarray(rng.integers(0, 256, (2, 8, 8, 3), np.uint8))
    params = random_params(lambda key: TINY.init(key, image), seed=1)

    def gradient(**settings):
        model = TINY.clone(**settings)
        return jax.jit(jax.grad(lambda p: jnp.sum(jnp.sin(model.apply(p, image)))))(params)

    plain = gradient()
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(plain))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        gradient(remat=True),
        plain,
    )
    half = TINY.clone(dtype=jnp.bfloat16).apply(params, image)
    full = TINY.apply(params, image)
    assert half.dtype == jnp.float32
    assert 0 < float(jnp.abs(full - half).max()) < 0.1 * float(jnp.abs(full).max())
