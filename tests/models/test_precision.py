"""bfloat16 in matrix products and convolutions, and nowhere else."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from random_params import random_params

from glam_jax.models import precision
from glam_jax.models.layers import ConvEncoder, ResMLP
from glam_jax.values import PRECISION

COMPUTE = PRECISION.known


class Model(nn.Module):
    @nn.compact
    def __call__(self, image, pose):
        y = ConvEncoder((4, 4), 4)(image)
        return nn.Dense(2)(ResMLP(1, 8)(jnp.concatenate([y, pose], axis=-1)))


@pytest.fixture(scope="module")
def world():
    """A model, its parameters, and its inputs."""
    model, keys = Model(), jax.random.split(jax.random.key(0))
    image = jax.random.uniform(keys[0], (3, 8, 8, 2))
    seen = image, jax.random.normal(keys[1], (3, 5))
    return model, random_params(lambda key: model.init(key, *seen)), seen


def answer(world, compute):
    """Output and gradient of its square."""
    model, params, seen = world
    apply = precision.apply(model, compute)

    def loss(params):
        out = apply(params, *seen)
        return jnp.sum(out**2), out

    (_, out), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return out, gradient


def test_it_is_the_same_model_with_rounding(world):
    (exact, expected), (out, gradient) = (answer(world, c) for c in COMPUTE)
    assert out.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
    assert (out != exact).any()
    for found, known in zip(
        *map(jax.tree.leaves, ((out, gradient), (exact, expected))), strict=True
    ):
        size = max(float(jnp.abs(known).max()), 0.1)
        np.testing.assert_allclose(found, known, atol=0.1 * size)


def products(world, compute):
    """Types of what is multiplied, of every matrix product and convolution; of all statistics."""
    model, params, seen = world
    jaxpr = jax.make_jaxpr(precision.apply(model, compute))(params, *seen)
    equations, found = list(jaxpr.jaxpr.eqns), {"products": set(), "rsqrt": set()}
    while equations:
        equation = equations.pop()
        for inner in jaxprs_in_params(equation.params):
            equations += inner.eqns
        name = equation.primitive.name
        kind = "products" if name in ("dot_general", "conv_general_dilated") else name
        if kind in found:
            found[kind] |= {str(variable.aval.dtype) for variable in equation.invars}
    return found


@pytest.mark.parametrize("compute", COMPUTE)
def test_products_are_computed_as_asked_and_normalisation_never_rounded(world, compute):
    assert products(world, compute) == {"products": {compute}, "rsqrt": {"float32"}}
