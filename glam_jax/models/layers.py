"""Layers shared by every model: residual MLPs, the image encoder and the image decoder."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


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

    SPEC section 2, action decoder: four layers of width 256.
    """

    layers: int
    width: int
    features: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.layers - 1):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(self.features)(x)


_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def halving_conv(x_BxHxWxC: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution, kernel (4, 4, C, D), stride 2, padding 1: (B, H, W, C) -> (B, H/2, W/2, D).

    `lax`'s own forward pass; the backward pass is written for XLA's CPU backend, where the
    native one of a strided convolution takes up to twice as long.
    """
    return jax.lax.conv_general_dilated(
        x_BxHxWxC, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT
    )


def _halving_conv_forward(x, kernel):
    return halving_conv(x, kernel), (x, kernel)


def _halving_conv_backward(saved, d_out):
    x, kernel = saved
    (b, h, w, c), d = x.shape, kernel.shape[-1]
    half = kernel.reshape(2, 2, 2, 2, c, d)  # per axis: which 2 x 2 block, which pixel in it
    d_x = doubling_conv(d_out, half[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4))
    # The kernel's gradient is four products of 2 x 2 blocks of the padded input with d_out.
    blocks = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = blocks.reshape(b, h // 2 + 1, 2, w // 2 + 1, 2 * c).transpose(0, 1, 3, 2, 4)
    blocks = blocks.reshape(b, h // 2 + 1, w // 2 + 1, 4 * c)
    rows = d_out.reshape(-1, d)
    d_half = jnp.stack(
        [
            blocks[:, i : i + h // 2, j : j + w // 2].reshape(-1, 4 * c).T @ rows
            for i in (0, 1)
            for j in (0, 1)
        ]
    )
    return d_x, d_half.reshape(2, 2, 2, 2, c, d).transpose(0, 2, 1, 3, 4, 5).reshape(kernel.shape)


halving_conv.defvjp(_halving_conv_forward, _halving_conv_backward)


def doubling_conv(x_BxHxWxC: jax.Array, taps: jax.Array) -> jax.Array:
    """Transposed convolution, kernel 4, stride 2, SAME: (B, H, W, C) -> (B, 2H, 2W, D).

    Between each 2 x 2 neighbourhood of inputs lies a corner that owns 2 x 2 outputs, and each
    of those sees exactly these four inputs through 2 x 2 of the 4 x 4 taps. So it is a plain
    2 x 2 convolution to 4 D channels, whose phases are interleaved and whose rim is cropped.
    `lax.conv_transpose` gives the same values; its backward pass on CPU is ten times slower.

    Args:
      taps: (2, 2, C, 2, 2, D): neighbour in y and x, then phase in y and x.
    """
    b, h, w, c = x_BxHxWxC.shape
    d = taps.shape[-1]
    out = jax.lax.conv_general_dilated(
        x_BxHxWxC,
        taps.reshape(2, 2, c, 4 * d),
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=_LAYOUT,
    )
    out = out.reshape(b, h + 1, w + 1, 2, 2 * d).transpose(0, 1, 3, 2, 4)
    return out.reshape(b, 2 * h + 2, 2 * w + 2, d)[:, 1:-1, 1:-1]


class HalvingConv(nn.Module):
    """`halving_conv` with its parameters: (B, H, W, C) -> (B, H/2, W/2, features)."""

    features: int

    @nn.compact
    def __call__(self, x_BxHxWxC):
        shape = (4, 4, x_BxHxWxC.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return halving_conv(x_BxHxWxC, kernel) + bias


class DoublingConv(nn.Module):
    """`doubling_conv` with its parameters: (B, H, W, C) -> (B, 2H, 2W, features)."""

    features: int

    @nn.compact
    def __call__(self, x_BxHxWxC):
        c = x_BxHxWxC.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (4, 4, c, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        # (4, 4) taps are (2 neighbours, 2 phases) per axis, the later phase first.
        taps = kernel.reshape(2, 2, 2, 2, c, self.features)[:, ::-1, :, ::-1]
        return doubling_conv(x_BxHxWxC, taps.transpose(0, 2, 4, 1, 3, 5)) + bias


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


def mish(x: jax.Array) -> jax.Array:
    """Mish, x tanh(softplus(x)) (Misra, 2019)."""
    return x * jnp.tanh(nn.softplus(x))
