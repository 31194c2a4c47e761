"""Image encoders of the policy, one set of weights per camera view."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models.cpu import in_chunks
from glam_jax.models.dinov2.vit import DinoV2
from glam_jax.models.layers import Conv, HalvingConv, patches

CONV, DINOV2 = "conv", "dinov2"
ENCODERS = (CONV, DINOV2)
DTYPES = ("float32", "bfloat16")
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


class TwoViewEncoder(nn.Module):
    """Both camera views to one condition: (B, V, H, W, 3) uint8 -> (B, out).

    Per view an encoder, then over the concatenation Linear(256), LayerNorm, GELU, Linear(out),
    LayerNorm; SPEC section 3.

    Attributes:
      encoder: "conv", `SmallEncoder` of `channels` and `features`, or "dinov2", `vit.DinoV2`.
      view_size: side in pixels that the views are resized to before it; 0 leaves them.
      dinov2_offset, dinov2_dtype, dinov2_remat: see `vit.DinoV2`.
    """

    channels: Sequence[int]
    features: int
    hidden: int
    out: int
    encoder: str = CONV
    view_size: int = 0
    dinov2_offset: float = 0.1
    dinov2_dtype: str = "float32"
    dinov2_remat: bool = False

    @nn.compact
    def __call__(self, image_BxVxHxWx3: jax.Array) -> jax.Array:
        images = resize_views(image_BxVxHxWx3, self.view_size)
        views = [
            in_chunks(self.view(f"view_{v}"), images[:, v], ENCODED_AT_ONCE)
            for v in range(images.shape[1])
        ]
        x = nn.Dense(self.hidden)(jnp.concatenate(views, axis=-1))
        x = nn.Dense(self.out)(nn.gelu(nn.LayerNorm()(x)))
        return nn.LayerNorm()(x)

    def view(self, name: str) -> nn.Module:
        """The encoder of one view."""
        if self.encoder == CONV:
            return SmallEncoder(self.channels, self.features, name=name)
        if self.encoder != DINOV2:
            raise ValueError(f"policy.encoder is {self.encoder!r}; expected one of {ENCODERS}")
        return DinoV2(
            offset=self.dinov2_offset,
            dtype=jnp.dtype(self.dinov2_dtype),
            remat=self.dinov2_remat,
            name=name,
        )


def resize_views(image_BxVxHxWxC: jax.Array, side: int) -> jax.Array:
    """Images at another side, linearly interpolated, float32 in [0, 255]; at side 0 as given."""
    *outer, height, width, channels = image_BxVxHxWxC.shape
    if side == 0 or (height, width) == (side, side):
        return image_BxVxHxWxC
    shape = (*outer, side, side, channels)
    return jax.image.resize(image_BxVxHxWxC.astype(jnp.float32), shape, "linear")
