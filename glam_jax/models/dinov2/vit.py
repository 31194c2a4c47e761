"""DINOv2's vision transformer, ViT-S/14 by default: images to the feature of the class token.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023. Parameters are
named so that published weights can be laid out as ours, see `weights`.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.models.layers import patches

# Mean and deviation of ImageNet's pixels in [0, 1], which the published weights expect.
PIXEL_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
PIXEL_STD = np.array((0.229, 0.224, 0.225), np.float32)
# Free parameter of the cubic kernel with which positional embeddings are resized (Keys, 1981).
CUBIC = -0.75


def cubic_weight(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = `CUBIC`, 0 from a distance of 2 on."""
    d, a = np.abs(distance), CUBIC
    near = ((a + 2) * d - (a + 3)) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def resize_matrix(size: int, stored: int, offset: float) -> np.ndarray:
    """Cubic interpolation along one axis as a matrix, (size, stored) float32.

    Output i lies at (i + 1/2) stored / (size + offset) - 1/2 of the stored samples, and the rim
    is repeated. Nothing is smoothed when the axis shrinks. An axis of the stored size is kept.

    Args:
      offset: 0.1 as in the original DINOv2, which keeps a division there from rounding down; 0
        as in Hugging Face's.
    """
    if size == stored:
        return np.eye(stored, dtype=np.float32)
    at = (np.arange(size) + 0.5) * stored / (size + offset) - 0.5
    matrix = np.zeros((size, stored))
    for tap in range(-1, 3):
        sample = np.floor(at) + tap
        index = np.clip(sample, 0, stored - 1).astype(int)
        np.add.at(matrix, (np.arange(size), index), cubic_weight(at - sample))
    return matrix.astype(np.float32)


def resize_positions(stored_1xTxW: jax.Array, rows: int, columns: int, offset: float) -> jax.Array:
    """Positional embeddings of the class token and of rows x columns patches, (1, T, W), from
    those of a square of patches; see `resize_matrix`."""
    width = stored_1xTxW.shape[-1]
    grid = math.isqrt(stored_1xTxW.shape[1] - 1)
    patch = stored_1xTxW[0, 1:].reshape(grid, grid, width)
    down, across = resize_matrix(rows, grid, offset), resize_matrix(columns, grid, offset)
    resized = jnp.einsum("ia,jb,abw->ijw", down, across, patch, precision=jax.lax.Precision.HIGHEST)
    return jnp.concatenate([stored_1xTxW[:, :1], resized.reshape(1, -1, width)], axis=1)


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale: (B, T, W) -> (B, T, W).

    x + g1 * Attention(LayerNorm(x)), then x + g2 * MLP(LayerNorm(x)); the MLP is four times as
    wide, with an exact GELU. Gains g start at 0.1 (Touvron et al., 2021, of up to 18 blocks).
    """

    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x_BxTxW: jax.Array) -> jax.Array:
        width = x_BxTxW.shape[-1]

        def linear(features, name):
            return nn.Dense(features, dtype=self.dtype, name=name)

        def gain(name):
            start = nn.initializers.constant(0.1)
            return self.param(name, start, (width,)).astype(self.dtype)

        x = x_BxTxW
        qkv = linear(3 * width, "qkv")(_norm("norm1", self.dtype)(x))
        q, k, v = jnp.moveaxis(qkv.reshape(*x.shape[:2], 3, self.heads, -1), 2, 0)
        seen = jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
        x = x + gain("ls1") * linear(width, "proj")(seen)
        inner = nn.gelu(linear(4 * width, "fc1")(_norm("norm2", self.dtype)(x)), approximate=False)
        return x + gain("ls2") * linear(width, "fc2")(inner)


def _norm(name: str, dtype: jnp.dtype) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, dtype=dtype, name=name)


class DinoV2(nn.Module):
    """DINOv2 ViT: (B, H, W, 3) in [0, 255] -> (B, width) float32, the normalised class token.

    Parameters are float32 whatever `dtype` is, and do not depend on the image's size: positional
    embeddings are stored for `grid` x `grid` patches and resized by `resize_matrix`.

    Attributes:
      grid: 37, the side in patches of the 518 pixels that the published embeddings are for.
      offset: see `resize_matrix`.
      dtype: of the computation. remat: compute each block anew in the backward pass, which
        then keeps one (B, T, width) array a block.

    Raises:
      ValueError: a side of the image is no multiple of `patch`.
    """

    depth: int = 12
    width: int = 384
    heads: int = 6
    patch: int = 14
    grid: int = 37
    offset: float = 0.1
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array) -> jax.Array:
        b, *sides, _ = image_BxHxWx3.shape
        if any(side % self.patch for side in sides):
            raise ValueError(
                f"images of {sides[0]} x {sides[1]} pixels; expected multiples of {self.patch}"
            )
        pixels = image_BxHxWx3.astype(jnp.float32) / 255.0
        x = (pixels - PIXEL_MEAN) / PIXEL_STD
        x = nn.Dense(self.width, dtype=self.dtype, name="patch_embed")(patches(x, self.patch))
        rows, columns = x.shape[1:3]
        small = nn.initializers.normal(0.02)
        token = self.param("cls_token", small, (1, 1, self.width))
        token = jnp.broadcast_to(token, (b, 1, self.width)).astype(self.dtype)
        x = jnp.concatenate([token, x.reshape(b, rows * columns, self.width)], axis=1)
        shape = (1, 1 + self.grid**2, self.width)
        stored = self.param("pos_embed", small, shape)
        x = x + resize_positions(stored, rows, columns, self.offset).astype(self.dtype)
        block = nn.remat(Block) if self.remat else Block
        for n in range(self.depth):
            x = block(self.heads, self.dtype, name=f"block_{n}")(x)
        return _norm("norm", self.dtype)(x[:, 0]).astype(jnp.float32)
