"""How XLA's CPU backend likes the layers: chunks, gradients by hand, and who waits for whom.

Mathematically these are a module over its rows, three convolutions with zeros one pixel around, and
Mish, and `layers` uses them under those names; a reader of the method can stop here. Their form is
what two cores need. Compiled from the plain formulas, XLA's CPU backend

- goes through a batch layer by layer, so that every layer's images leave the processor's cache
  before the next one reads them: `in_chunks` computes some rows at a time;
- is many times slower at a convolution's gradients as it derives them, on inputs that are spread
  apart and in other layouts: here every gradient is written as a forward convolution of one layout;
- has no regard for memory when it orders a program: what a backward pass needs in another layout
  it copies in the forward pass, and keeps: `_after` and `_in_turn` make it wait;
- computes exponentials and logarithms slowly: Mish takes one, its gradient another.

An accelerator gets whole batches and no waits, by the same functions.
"""

import functools
import operator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# On a CPU, images are worked on in chunks of so many, at most so many chunks, for a program must be
# compiled for each: what one layer leaves for the next stays in the processor's cache. An
# accelerator has its own way of cutting work into pieces, and wants much of it at once.
MOST_CHUNKS = 16
# A kernel's gradient copies both operands into another layout, slowly where the copies leave the
# cache, and is computed on one core.
GRADIENT_CHUNK, MOST_GRADIENTS = 32, 4


def chunks(count: int, size: int, most: int = MOST_CHUNKS) -> list[slice]:
    """Consecutive slices of `count` rows: of `size` rows, or of more where they would be too many.

    Everything in one where the device is no CPU.
    """
    if jax.default_backend() != "cpu":
        return [slice(0, count)]
    size = max(size, -(-count // most))
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]


def in_chunks(module: nn.Module, x: jax.Array, size: int) -> jax.Array:
    """module(x), whose rows do not depend on each other, `size` rows at a time on a CPU.

    Its backward pass has two chunks at work at a time, for two cores.
    """
    found = chunks(len(x), size)
    if len(found) == 1 or module.is_initializing():
        return module(x)
    module, variables = module.unbind()
    parts = []
    for rows in found:
        if len(parts) > 1:
            variables, parts[-2] = _in_turn(variables, parts[-2])
        parts.append(module.apply(variables, x[rows]))
    return jnp.concatenate(parts)


def _after(x: jax.Array, other: jax.Array) -> jax.Array:
    """x, on a CPU not before `other` is known.

    XLA removes barriers; 0 times a float, which could be NaN, it must compute.
    """
    if jax.default_backend() != "cpu":
        return x
    return x + (0 * other[(0,) * other.ndim]).astype(x.dtype)


@jax.custom_vjp
def _in_turn(variables: Any, y: jax.Array) -> tuple[Any, jax.Array]:
    """Both as they are; y's gradient waits for the variables' from where they are used later."""
    return variables, y


def _in_turn_backward(_, cotangents):
    d_variables, d_y = cotangents
    return d_variables, _after(d_y, jax.tree.leaves(d_variables)[0])


_in_turn.defvjp(lambda variables, y: ((variables, y), None), _in_turn_backward)


# Convolutions with zeros one pixel around: of kernel 3, which keep an image's size, and of kernel 4
# and stride 2, which halve and double it. Those are each other's transpose, with a kernel of shape
# (4, 4, C of the large image, D of the small one).

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def _conv(
    x_BxHxWxC: jax.Array,
    kernel: jax.Array,
    stride: int = 1,
    apart: int = 1,
    layout: tuple[str, str, str] = _LAYOUT,
) -> jax.Array:
    """`stride` pixels from output to output, and `apart` from tap to tap."""
    return jax.lax.conv_general_dilated(
        x_BxHxWxC,
        kernel,
        (stride, stride),
        ((1, 1), (1, 1)),
        rhs_dilation=(apart, apart),
        dimension_numbers=layout,
    )


def _kernel_gradient(x_BxHxWxC: jax.Array, d_out: jax.Array, stride: int = 1) -> jax.Array:
    """Of `_conv` in its kernel: a convolution of each channel's images, stacked, with d_out."""

    def gradient(x: jax.Array, d_out: jax.Array) -> jax.Array:
        if jax.default_backend() != "cpu":
            return _conv(x, d_out, apart=stride, layout=("CHWN", "IHWO", "HWNC"))
        x, d_out = x.transpose(3, 1, 2, 0), d_out.transpose(1, 2, 0, 3)
        return _conv(x, d_out, apart=stride).transpose(1, 2, 0, 3)

    found = chunks(len(d_out), GRADIENT_CHUNK, MOST_GRADIENTS)
    return functools.reduce(
        operator.add, [gradient(x_BxHxWxC[rows], d_out[rows]) for rows in found]
    )


@jax.custom_vjp
def local_conv(x_BxHxWxC: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution that keeps the size: (B, H, W, C), kernel (3, 3, C, D) -> (B, H, W, D)."""
    return _conv(x_BxHxWxC, kernel)


local_conv.defvjp(
    lambda x, kernel: (_conv(x, kernel), (x, kernel)),
    lambda saved, d_out: (
        _conv(d_out, saved[1][::-1, ::-1].swapaxes(2, 3)),
        _kernel_gradient(_after(saved[0], d_out), d_out),
    ),
)


def _halve(x_BxHxWxC: jax.Array, kernel: jax.Array) -> jax.Array:
    return _conv(x_BxHxWxC, kernel, 2)


def _double(x_BxHxWxD: jax.Array, kernel: jax.Array) -> jax.Array:
    """Between each 2 x 2 neighbourhood of inputs lies a corner that owns 2 x 2 outputs, and each
    of those sees exactly these four inputs through 2 x 2 of the 4 x 4 taps. So it is a 2 x 2
    convolution to 4 C channels, whose phases are interleaved and whose rim is cropped.
    """
    b, h, w, d = x_BxHxWxD.shape
    c = kernel.shape[2]
    taps = kernel.reshape(2, 2, 2, 2, c, d)[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
    out = jax.lax.conv_general_dilated(
        x_BxHxWxD,
        taps.reshape(2, 2, d, 4 * c),
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=_LAYOUT,
    )
    out = out.reshape(b, h + 1, w + 1, 2, 2 * c).transpose(0, 1, 3, 2, 4)
    return out.reshape(b, 2 * h + 2, 2 * w + 2, c)[:, 1:-1, 1:-1]


@jax.custom_vjp
def halving_conv(x_BxHxWxC: jax.Array, kernel: jax.Array) -> jax.Array:
    """Strided convolution: (B, H, W, C), kernel (4, 4, C, D) -> (B, H/2, W/2, D)."""
    return _halve(x_BxHxWxC, kernel)


halving_conv.defvjp(
    lambda x, kernel: (_halve(x, kernel), (x, kernel)),
    lambda saved, d_out: (
        _double(d_out, saved[1]),
        _kernel_gradient(_after(saved[0], d_out), d_out, 2),
    ),
)


@jax.custom_vjp
def doubling_conv(x_BxHxWxD: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution: (B, H, W, D), kernel (4, 4, C, D) -> (B, 2H, 2W, C)."""
    return _double(x_BxHxWxD, kernel)


doubling_conv.defvjp(
    lambda x, kernel: (_double(x, kernel), (x, kernel)),
    lambda saved, d_out: (
        _halve(d_out, saved[1]),
        _kernel_gradient(d_out, _after(saved[0], d_out), 2),
    ),
)


@jax.custom_vjp
def mish(x: jax.Array) -> jax.Array:
    """Mish, x tanh(softplus(x)) (Misra, 2019)."""
    return x * _mish_gate(x)[0]


def _mish_gate(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """tanh(softplus(x)) and its derivative.

    With e = exp(x) and n = e (e + 2) it is n / (n + 2): one exponential, where tanh, softplus and
    all they leave to the backward pass take two and a logarithm. From x = 20 on it is 1.
    """
    e = jnp.exp(jnp.minimum(x, 20.0))
    n = e * (e + 2.0)
    return n / (n + 2.0), 4.0 * e * (e + 1.0) / jnp.square(n + 2.0)


def _mish_backward(x: jax.Array, d_out: jax.Array) -> tuple[jax.Array]:
    gate, slope = _mish_gate(_after(x, d_out))
    return (d_out * (gate + x * slope),)


mish.defvjp(lambda x: (mish(x), x), _mish_backward)
