"""Layers shared by every model: residual MLPs, the image encoder and the image decoder."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from glam_jax.models.cpu import doubling_conv, halving_conv, local_conv

# Deviation of each dimension of the visual feature y.
FEATURE_SCALE = 0.1


class ResMLP(nn.Module):
    """Residual MLP: a Linear to `width`, then blocks of x + Linear(GELU(Linear(LayerNorm(x)))).

    (..., D) -> (..., width). A block's second Linear starts at
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

    The action decoder has four layers of width 256. Biases start at 1, where most ReLUs
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

    (B, H, W, C) float in [0, 1] -> (B, features); the visual encoder. LayerNorm
    on the output fixes the scale of y, to `FEATURE_SCALE`: without it the forward loss could be
    lowered by shrinking y, and the decoder would undo the shrinking. At a scale of 0.1 all of y
    weighs about as much as one standardised pose dimension where the two are read together.
    """

    channels: Sequence[int]
    features: int

    @nn.compact
    def __call__(self, image_BxHxWxC):
        x = image_BxHxWxC - 0.5
        for width in self.channels:
            x = nn.relu(HalvingConv(width)(x))
        x = nn.Dense(self.features)(x.reshape(x.shape[0], -1))
        return FEATURE_SCALE * nn.LayerNorm(use_scale=False, use_bias=False)(x)


class ConvDecoder(nn.Module):
    """Transposed convolutions mirroring `ConvEncoder`: (B, Y) -> (B, H, W, image_channels).

    The output is linear: pixel values for RGB, logits for masks.
    """

    channels: Sequence[int]
    image_size: int
    image_channels: int

    @nn.compact
    def __call__(self, y_BxY):
        side = self.image_size // 2 ** len(self.channels)
        top = self.channels[-1]
        x = nn.relu(nn.Dense(side * side * top)(y_BxY / FEATURE_SCALE))
        x = x.reshape(-1, side, side, top)
        for width in self.channels[-2::-1]:
            x = nn.relu(DoublingConv(width)(x))
        return DoublingConv(self.image_channels)(x)


def patches(image_BxHxWxC: jax.Array, size: int) -> jax.Array:
    """Non-overlapping patches, flattened: (B, H, W, C) -> (B, H/size, W/size, size^2 C)."""
    b, h, w, c = image_BxHxWxC.shape
    split = image_BxHxWxC.reshape(b, h // size, size, w // size, size * c)
    return split.swapaxes(2, 3).reshape(b, h // size, w // size, size * size * c)
