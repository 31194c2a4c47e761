"""Matrix products and convolutions in bfloat16, everything else in float32."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models.layers import Conv, DoublingConv, HalvingConv

# Where the work is. Normalisation, residual sums, distributions and losses keep float32.
PRODUCTS = (nn.Dense, Conv, HalvingConv, DoublingConv)


def apply(model: nn.Module, compute: str) -> Callable:
    """`model.apply`, with its Linear and convolutional layers computed in `compute`.

    Parameters stay float32, and so do gradients: layers read a rounded copy. Inputs of these
    layers are rounded likewise and their outputs widened again.
    """
    if compute == "float32":
        return model.apply

    def apply_rounded(params, *args, **kwargs):
        with nn.intercept_methods(_round_inputs):
            return model.apply(_rounded(params), *args, **kwargs)

    return apply_rounded


def _round_inputs(call: Callable, args: tuple, kwargs: dict, context) -> Any:
    if not isinstance(context.module, PRODUCTS) or context.method_name != "__call__":
        return call(*args, **kwargs)
    return call(*(x.astype(jnp.bfloat16) for x in args), **kwargs).astype(jnp.float32)


def _rounded(params: Any) -> Any:
    """The layers that have a kernel in bfloat16, kernel and bias; other parameters as they are."""
    if not isinstance(params, dict):
        return params
    if "kernel" in params:
        return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    return {name: _rounded(value) for name, value in params.items()}
