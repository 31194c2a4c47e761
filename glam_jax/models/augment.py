"""How what the policy sees is changed at random in training, each row by its own draws."""

import dataclasses

import jax
import jax.numpy as jnp

from glam_jax.models import draws

# Cells a side of the grids of `random_shading`.
SHADES = (2, 4, 8)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How strongly an observation is changed; 0 leaves out the change.

    Attributes:
      shift_pixels, shading, colour_jitter: of the images, see `random_shift`, `random_shading` and
        `random_colours`.
      pose_noise: deviation of the noise added to the normalised pose that the policy is told, so
        that it also looks where the hand is.
    """

    shift_pixels: int
    shading: float
    colour_jitter: float
    pose_noise: float

    def images(self, image_BxVxHxWx3: jax.Array, keys: jax.Array, row_B: jax.Array) -> jax.Array:
        """Images shifted, shaded and recoloured, in this order, by three keys."""
        image = random_shift(image_BxVxHxWx3, self.shift_pixels, keys[0], row_B)
        image = random_shading(image, self.shading, keys[1], row_B)
        return random_colours(image, self.colour_jitter, keys[2], row_B)

    def pose(self, ee_pose_BxE: jax.Array, key: jax.Array, row_B: jax.Array) -> jax.Array:
        """Normalised poses with noise."""
        return ee_pose_BxE + self.pose_noise * draws.normal(key, row_B, ee_pose_BxE.shape[1:])


def random_shift(
    image_BxVxHxWxC: jax.Array, pixels: int, key: jax.Array, row_B: jax.Array
) -> jax.Array:
    """Shifts each row's images by up to `pixels`, edges repeated, each view by its own draw.

    The shifts are keyed by the row's number (`draws`).
    """
    if pixels == 0:
        return image_BxVxHxWxC
    views, *shape = image_BxVxHxWxC.shape[1:]
    pad = ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    padded = jnp.pad(image_BxVxHxWxC, pad, mode="edge")

    def corner(key):
        return jax.random.randint(key, (views, 2), 0, 2 * pixels + 1)

    def crop(image, yx):
        return jax.lax.dynamic_slice(image, (yx[0], yx[1], 0), shape)

    return jax.vmap(jax.vmap(crop))(padded, draws.per_row(corner, key, row_B))


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
