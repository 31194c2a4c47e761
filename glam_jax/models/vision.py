"""Image encoders of the policy, one set of weights per camera view."""

from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models.cpu import in_chunks
from glam_jax.models.layers import Conv, HalvingConv, patches

CONV, DINOV2 = "conv", "dinov2"
# Images in a chunk of a view's; see `cpu.in_chunks`.
ENCODED_AT_ONCE = 32
# Of each position in a centre of mass. With 1e-4, gradients of nearly silent channels were so large
# that one device and four came apart in 20 steps.
LEAST_MASS = 1e-2


class SmallEncoder(nn.Module):
    """A small image encoder to train from scratch: (B, H, W, 3) uint8 -> (B, features).

    Patches of 4 x 4 pixels, a 3 x 3 convolution, a convolution that halves, ReLU after each; then
    through one Linear the whole of the last map, and where each channel of the last two fires,
    `centre_of_mass`. That tells places better from few pictures than the spatial softmax of
    Finn et al. (2016): docs/what_we_learned.md.

    Attributes:
      channels: of the three convolutions.
    """

    channels: Sequence[int]
    features: int

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array) -> jax.Array:
        patch, local, last = self.channels
        x = image_BxHxWx3.astype(jnp.float32) / 255.0 - 0.5
        x = nn.relu(nn.Dense(patch)(patches(x, 4)))
        fine = nn.relu(Conv(local)(x))
        coarse = nn.relu(HalvingConv(last)(fine))
        where = [centre_of_mass(fine), centre_of_mass(coarse)]
        what = coarse.reshape(coarse.shape[0], -1)
        return nn.Dense(self.features)(jnp.concatenate([*where, what], axis=-1))


def centre_of_mass(x_BxHxWxC: jax.Array) -> jax.Array:
    """Where each channel's mass lies, (B, H, W, C), at least 0 -> (B, 2 C) in [-1, 1].

    sum_p m_p p / sum_p m_p over the image positions p, with m_p = x_p + LEAST_MASS: the middle for
    a channel that is 0.
    """
    _, h, w, _ = x_BxHxWxC.shape
    mass = x_BxHxWxC + LEAST_MASS
    total = mass.sum(axis=(1, 2))
    across = jnp.einsum("bhwc,w->bc", mass, jnp.linspace(-1.0, 1.0, w))
    down = jnp.einsum("bhwc,h->bc", mass, jnp.linspace(-1.0, 1.0, h))
    return jnp.concatenate([across / total, down / total], axis=-1)


class ViewsEncoder(nn.Module):
    """All camera views to one condition: (B, V, H, W, 3) in [0, 255] -> (B, out).

    Each view goes through an encoder of its own; then the concatenation through Linear(hidden),
    LayerNorm, GELU, Linear(out), LayerNorm.

    Attributes:
      view: V encoders, such as `SmallEncoder` or `DinoV2`: (B, H, W, 3) -> (B, features).
      side: in pixels, to which views are resized before their encoders; 0 leaves them.
    """

    view: Sequence[nn.Module]
    side: int
    hidden: int
    out: int

    @nn.compact
    def __call__(self, image_BxVxHxWx3: jax.Array) -> jax.Array:
        chex.assert_shape(image_BxVxHxWx3, (None, len(self.view), None, None, 3))
        images = resize_views(image_BxVxHxWx3, self.side)
        seen = [
            in_chunks(encoder, images[:, v], ENCODED_AT_ONCE) for v, encoder in enumerate(self.view)
        ]
        x = nn.Dense(self.hidden)(jnp.concatenate(seen, axis=-1))
        x = nn.Dense(self.out)(nn.gelu(nn.LayerNorm()(x)))
        return nn.LayerNorm()(x)


def resize_views(image_BxVxHxWxC: jax.Array, side: int) -> jax.Array:
    """Images at another side, linearly interpolated, float32 in [0, 255]; at side 0 as given."""
    *outer, height, width, channels = image_BxVxHxWxC.shape
    if side == 0 or (height, width) == (side, side):
        return image_BxVxHxWxC
    shape = (*outer, side, side, channels)
    return jax.image.resize(image_BxVxHxWxC.astype(jnp.float32), shape, "linear")
