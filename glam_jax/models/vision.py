"""Image encoders of the policy, one set of weights per camera view."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models import draws
from glam_jax.models.dinov2.vit import DinoV2
from glam_jax.models.layers import Conv, HalvingConv, in_chunks, patches

CONV, DINOV2 = "conv", "dinov2"
ENCODERS = (CONV, DINOV2)
DTYPES = ("float32", "bfloat16")
# Images in a chunk of a view's; see `layers.in_chunks`.
ENCODED_AT_ONCE = 32
# Cells a side of the grids of `random_shading`.
SHADES = (2, 4, 8)
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


def random_shift(
    image_BxVxHxWxC: jax.Array, pixels: int, key: jax.Array, row_B: jax.Array
) -> jax.Array:
    """Shifts each row's images by up to `pixels`, edges repeated; the same shift in all views.

    The shift is keyed by the row's number (`draws`).

    Keep it below the grasp's tolerance: a pixel is about a centimetre of table at 64 x 64.
    """
    if pixels == 0:
        return image_BxVxHxWxC
    b, v, h, w, c = image_BxVxHxWxC.shape
    pad = ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    padded = jnp.pad(image_BxVxHxWxC, pad, mode="edge")
    corner = draws.per_row(lambda k: jax.random.randint(k, (2,), 0, 2 * pixels + 1), key, row_B)

    def crop(image, yx):
        return jax.lax.dynamic_slice(image, (0, yx[0], yx[1], 0), (v, h, w, c))

    return jax.vmap(crop)(padded, corner)


def random_shading(
    image_BxVxHxWx3: jax.Array, deviation: float, key: jax.Array, row_B: jax.Array
) -> jax.Array:
    """Shades each row's images by smooth random fields of colour: (1 + field) * x, float32.

    A field is the sum of normal noise on grids of 2, 4 and 8 cells a side, cubically interpolated;
    its deviation at a grid's points is about `deviation`. One for each view and colour channel,
    keyed by the row's number (`draws`). Lamps, shadows and patterned tables of places that no
    demonstration shows look like this to a convolution.
    """
    if deviation == 0:
        return image_BxVxHxWx3
    views, height, width, colours = image_BxVxHxWx3.shape[1:]
    # All grids at once, for XLA's CPU backend is slow where images are small in memory: the grids
    # on the diagonal of one, and one product with what interpolates rows, one with columns.
    rows_HxG, columns_WxG = _interpolation(height), _interpolation(width)
    across = jnp.kron(columns_WxG.T, jnp.eye(colours)) / len(SHADES) ** 0.5

    def field(key):
        grid = jnp.zeros((views, sum(SHADES), sum(SHADES), colours))
        start = 0
        for k, cells in zip(jax.random.split(key, len(SHADES)), SHADES, strict=True):
            noise = jax.random.normal(k, (views, cells, cells, colours))
            grid = jax.lax.dynamic_update_slice(grid, noise, (0, start, start, 0))
            start += cells
        down = jnp.einsum("hg,vgwc->vhwc", rows_HxG, grid).reshape(views, height, -1)
        return (down @ across).reshape(views, height, width, colours)

    return (1.0 + deviation * draws.per_row(field, key, row_B)) * image_BxVxHxWx3


def _interpolation(side: int) -> jax.Array:
    """Cubic interpolation of the `SHADES`' cells to `side` pixels, side by side: (side, G)."""
    made = [jax.image.resize(jnp.eye(cells), (side, cells), "cubic") for cells in SHADES]
    return jnp.concatenate(made, axis=1)


def random_colours(
    image_BxVxHxWx3: jax.Array, deviation: float, key: jax.Array, row_B: jax.Array
) -> jax.Array:
    """Recolours each row's images, in [0, 255]: gain * x + lift, float32; alike in all views.

    The gain of each colour channel is drawn evenly from 1 +- `deviation`, the lift of all of them
    from +- `deviation` / 2 of the range; keyed by the row's number (`draws`). Sources look unlike
    each other; what a policy learns from the pictures of one should hold in those of another.
    """
    if deviation == 0:
        return image_BxVxHxWx3
    draw = draws.per_row(lambda k: jax.random.uniform(k, (4,), minval=-1.0, maxval=1.0), key, row_B)
    draw = deviation * draw[:, None, None, None]
    return (1.0 + draw[..., :3]) * image_BxVxHxWx3 + 127.5 * draw[..., 3:]
