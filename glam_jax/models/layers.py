"""Layers shared by every model: residual MLPs, the image encoder and the image decoder."""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class ResMLP(nn.Module):
    """Residual MLP: a Linear to `width`, then blocks of x + Linear(GELU(Linear(LayerNorm(x)))).

    (..., D) -> (..., width). SPEC section 2, "A ResMLP block". A block's second Linear starts at
    zero, so that the whole starts as a linear map: between poses and actions most of the
    relation is linear, and what lies between demonstrations is then interpolated smoothly.
    """

    blocks: int
    width: int

    @nn.compact
    def __call__(self, x):
        h = nn.Dense(self.width)(x)
        for _ in range(self.blocks):
            r = nn.LayerNorm()(h)
            r = nn.Dense(self.width)(r)
            r = nn.gelu(r)
            r = nn.Dense(self.width, kernel_init=nn.initializers.zeros)(r)
            h = h + r
        return h


class MLP(nn.Module):
    """A plain ReLU MLP of `layers` Linear layers, (..., D) -> (..., features).

    SPEC section 2, action decoder: four layers of width 256. Biases start at 1, where most ReLUs
    of inputs around [-1, 1] are open: like `ResMLP` it starts nearly as a linear map.
    """

    layers: int
    width: int
    features: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.layers - 1):
            x = nn.relu(nn.Dense(self.width, bias_init=nn.initializers.ones)(x))
        return nn.Dense(self.features)(x)


# On a CPU, images are worked on in chunks of so many, at most so many chunks, for a program must be
# compiled for each: what one layer leaves for the next stays in the processor's cache. An
# accelerator has its own way of cutting work into pieces, and wants much of it at once.
MOST_CHUNKS = 16
# XLA's CPU backend copies both operands of a kernel's gradient into another layout, slowly where
# the copies leave the cache, and computes one gradient on one core.
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

    Its backward pass has two chunks at work at a time, for two cores. Left to itself, XLA goes
    through all chunks layer by layer, and their gradients leave the cache in between.
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

    XLA's CPU backend has no regard for memory when it orders a program: what a backward pass needs
    in another layout it copies in the forward pass, and keeps. Barriers it removes; 0 times a
    float, which could be NaN, it must compute.
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
# Gradients are written as forward convolutions too, on a CPU all of one layout. XLA's backend there
# is many times slower where inputs are spread apart, and, inside a loop, at any other layout.

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


# Where a CPU halves by blocks: images of so few channels, and kernels of so few features.
FEW_CHANNELS, FEW_FEATURES = 4, 8
BLOCK_CHANNELS = 16


def _halve(x_BxHxWxC: jax.Array, kernel: jax.Array) -> jax.Array:
    c, features = kernel.shape[2:]
    narrow = c <= FEW_CHANNELS and features <= FEW_FEATURES
    if jax.default_backend() == "cpu" and narrow:
        return _halve_in_blocks(x_BxHxWxC, kernel)
    return _conv(x_BxHxWxC, kernel, 2)


def _halve_in_blocks(x_BxHxWxC: jax.Array, kernel: jax.Array) -> jax.Array:
    """The strided convolution as a 2 x 2 one over blocks of 2 x 2M pixels, of 4 M C channels, to
    the M D values that lie in a block: XLA's CPU backend takes several times as long for a few
    channels as for sixteen, even where, with M above 1, some of these taps are zeros.
    """
    b, h, w, c = x_BxHxWxC.shape
    side = 2 * max(1, math.gcd(w // 2, BLOCK_CHANNELS // (4 * c)))  # 2 M
    columns = w // side + 1
    padded = jnp.pad(x_BxHxWxC, ((0, 0), (1, 1), (1, side - 1), (0, 0)))
    blocks = padded.reshape(b, h // 2 + 1, 2, columns, side * c).transpose(0, 1, 3, 2, 4)
    # [p, q, m]: whether column p of two blocks is under tap q of output m.
    under = np.arange(2 * side)[:, None, None] == np.arange(4)[:, None] + np.arange(0, side, 2)
    taps = jnp.einsum("rqcd,pqm->rpcmd", kernel, under.astype(kernel.dtype))
    taps = taps.reshape(2, 2, 2, side * c, -1).transpose(0, 2, 1, 3, 4)
    out = jax.lax.conv_general_dilated(
        blocks.reshape(b, h // 2 + 1, columns, 2 * side * c),
        taps.reshape(2, 2, 2 * side * c, -1),
        (1, 1),
        "VALID",
        dimension_numbers=_LAYOUT,
    )
    return out.reshape(b, h // 2, w // 2, -1)


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


def _layer(layer: nn.Module, convolve: Callable, x: jax.Array, shape: tuple, init: Callable):
    """A convolution with the layer's own kernel, of `shape`, and bias."""
    kernel = layer.param("kernel", init, shape)
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,))
    return convolve(x, kernel) + bias


class Conv(nn.Module):
    """`local_conv` with its parameters: (B, H, W, C) -> (B, H, W, features)."""

    features: int

    @nn.compact
    def __call__(self, x_BxHxWxC):
        shape = (3, 3, x_BxHxWxC.shape[-1], self.features)
        return _layer(self, local_conv, x_BxHxWxC, shape, nn.initializers.lecun_normal())


class HalvingConv(nn.Module):
    """`halving_conv` with its parameters: (B, H, W, C) -> (B, H/2, W/2, features)."""

    features: int

    @nn.compact
    def __call__(self, x_BxHxWxC):
        shape = (4, 4, x_BxHxWxC.shape[-1], self.features)
        return _layer(self, halving_conv, x_BxHxWxC, shape, nn.initializers.lecun_normal())


class DoublingConv(nn.Module):
    """`doubling_conv` with its parameters: (B, H, W, C) -> (B, 2H, 2W, features)."""

    features: int

    @nn.compact
    def __call__(self, x_BxHxWxC):
        # Each output is a sum over 2 x 2 of the taps and all channels of the small image.
        init = nn.initializers.variance_scaling(4.0, "fan_in", "truncated_normal", -1, -2)
        shape = (4, 4, self.features, x_BxHxWxC.shape[-1])
        return _layer(self, doubling_conv, x_BxHxWxC, shape, init)


class ConvEncoder(nn.Module):
    """Strided convolutions (kernel 4, stride 2, padding 1, ReLU): image -> feature in R^Y.

    (B, H, W, C) float in [0, 1] -> (B, features); SPEC section 2, visual encoder. LayerNorm
    on the output fixes the scale of y, to `scale`: without it the forward loss could be lowered
    by shrinking y, and the decoder would undo the shrinking. At a scale of 0.1 all of y weighs
    about as much as one standardised pose dimension where the two are read together.
    """

    channels: Sequence[int]
    features: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, image_BxHxWxC):
        x = image_BxHxWxC - 0.5
        for width in self.channels:
            x = nn.relu(HalvingConv(width)(x))
        x = nn.Dense(self.features)(x.reshape(x.shape[0], -1))
        return self.scale * nn.LayerNorm(use_scale=False, use_bias=False)(x)


class ConvDecoder(nn.Module):
    """Transposed convolutions mirroring `ConvEncoder`: (B, Y) -> (B, H, W, image_channels).

    The output is linear: pixel values for RGB, logits for masks.
    """

    channels: Sequence[int]
    image_size: int
    image_channels: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, y_BxY):
        side = self.image_size // 2 ** len(self.channels)
        top = self.channels[-1]
        x = nn.relu(nn.Dense(side * side * top)(y_BxY / self.scale)).reshape(-1, side, side, top)
        for width in self.channels[-2::-1]:
            x = nn.relu(DoublingConv(width)(x))
        return DoublingConv(self.image_channels)(x)


def patches(image_BxHxWxC: jax.Array, size: int) -> jax.Array:
    """Non-overlapping patches, flattened: (B, H, W, C) -> (B, H/size, W/size, size^2 C)."""
    b, h, w, c = image_BxHxWxC.shape
    split = image_BxHxWxC.reshape(b, h // size, size, w // size, size * c)
    # Row by row of the patches: XLA's CPU backend fuses what made the image into a transposition,
    # which is then computed number by number.
    return jnp.concatenate([split[:, :, row] for row in range(size)], axis=-1)


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
