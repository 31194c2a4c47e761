"""What all latent-action world models share: images, the forward model, and their terms.

A world model infers a latent action z in R^d of every transition from x_t to x_t+1, where
x = (y, x^e) is the visual feature of the image and the end-effector pose. They differ in what z
is and in what it must explain: `glam`, `clam` and `lapa`, compared in docs/equations.md.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax import schema
from glam_jax.models import draws
from glam_jax.models.cpu import in_chunks
from glam_jax.models.layers import ConvDecoder, ConvEncoder
from glam_jax.models.modules import ActionDecoder, ForwardModel

# Images in a chunk of the encoder's; see `cpu.in_chunks`.
ENCODED_AT_ONCE = 32


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the networks of a world model are.

    Attributes:
      latent: d, the dimensions of z. visual: Y, those of y.
      channels: of the image encoder's convolutions; the decoder's are the same backwards.
      width: of every MLP.
      posterior_blocks: of what infers z. forward_blocks: of the forward model.
    """

    latent: int
    visual: int
    channels: Sequence[int]
    width: int
    posterior_blocks: int
    forward_blocks: int


class LatentActionModel(nn.Module, kw_only=True):
    """Base of the world models, which add an inverse dynamics model `idm` and their own terms.

    Verbs: `loss` (training terms), `label` (z of a transition) and `forward_errors` (how well z
    predicts it); `GroundedModel` adds `decode` (robot action of z) and `decoder_inputs` (what
    that is trained on).

    Attributes:
      layout: of the target's arrays: its views, the side of its images, its actions.
      modality: "rgb" or "mask"; what the images hold and how they are reconstructed.
      sizes: of the networks.
      reconstruct_share: share of the rows whose image term is computed, on one frame of the
        window, both drawn at random: an unbiased estimate of the mean over all frames at a
        fraction of the cost. 1 / n with n whole: one row is drawn of every n.
    """

    # Every term of the loss and the rows it is a mean over: "all" or "target".
    term_rows: ClassVar[dict[str, str]]
    # Whether it has an action decoder, and so the verb `decode`.
    decodes: ClassVar[bool] = False

    layout: schema.Layout
    modality: str
    sizes: Sizes
    reconstruct_share: float = 1.0

    def setup(self):
        sizes, (views, side, _, channels) = self.sizes, self.layout.image_shape(self.modality)
        self.encoder = ConvEncoder(sizes.channels, sizes.visual)
        self.decoder = ConvDecoder(sizes.channels, side, views * channels)
        self.forward_model = ForwardModel(sizes.forward_blocks, sizes.width)

    @abc.abstractmethod
    def loss(self, batch: dict, key: jax.Array) -> tuple[dict, dict]:
        """Unreduced terms, each (B,), and metrics of one or more numbers a row, (B, ...).

        Vector terms are sums over dimensions and means over the window's transitions. `batch`
        is a normalised window batch (`units.windows`). `term_rows` says which rows count: terms
        of target rows are computed on all of them, and `losses.reduce_terms` leaves out the others.
        """

    @abc.abstractmethod
    def label(self, batch: dict) -> jax.Array:
        """z_t of every transition, without noise: (B, T-1, Z)."""

    def encode(self, image_BxTxVxHxWxC: jax.Array) -> jax.Array:
        """uint8 images -> visual features y (B, T, Y)."""
        b, t = image_BxTxVxHxWxC.shape[:2]
        pixels = self.pixels(image_BxTxVxHxWxC)
        pixels = pixels.reshape(b * t, *pixels.shape[2:])
        return in_chunks(self.encoder, pixels, ENCODED_AT_ONCE).reshape(b, t, self.sizes.visual)

    def pixels(self, image_VxHxWxC: jax.Array) -> jax.Array:
        """uint8 (..., V, H, W, C) -> float32 in [0, 1], views on channels, (..., H, W, V C)."""
        views, height, width, channels = self.layout.image_shape(self.modality)
        chex.assert_shape(image_VxHxWxC, (..., views, height, width, channels))
        stacked = jnp.moveaxis(image_VxHxWxC, -4, -2)  # in uint8, a quarter of float32
        stacked = stacked.reshape(*stacked.shape[:-4], height, width, views * channels)
        scale = 255.0 if self.modality == "rgb" else 1.0
        return stacked.astype(jnp.float32) / scale

    def infer(self, y_BxTxY: jax.Array, batch: dict):
        """What `idm` says of every transition, (B, T-1, Z), from x_t and x_t+1.

        x_t+1 enters as x_t and the step from it: the same information, well conditioned.
        """
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        return self.idm(y, y_next - y, batch["ee_pose"][:, :-1], batch["ee_step"])

    def reconstruct(self, image_BxTxVxHxWxC: jax.Array) -> jax.Array:
        """Images through the encoder and the decoder, float in [0, 1], for pictures."""
        b, t, v, h, w, c = image_BxTxVxHxWxC.shape
        stacked = self.decoder(self.encode(image_BxTxVxHxWxC).reshape(b * t, self.sizes.visual))
        out = jnp.moveaxis(stacked.reshape(b, t, h, w, v, c), -2, 2)
        return nn.sigmoid(out) if self.modality == "mask" else jnp.clip(out, 0.0, 1.0)

    def forward_terms(self, y, y_next, batch, z) -> dict[str, jax.Array]:
        """Squared errors of x_t+1 predicted from x_t and z_t, (B, T-1): of y and of the pose."""
        dy, dee = self.forward_model(y, batch["ee_pose"][:, :-1], z)
        ee_error = (dee - batch["ee_step"]) * batch["ee_step_scale"]
        return {"forward_y": squared(dy - (y_next - y)), "forward_ee": squared(ee_error)}

    def copy_baseline(self, y, y_next, batch) -> dict[str, jax.Array]:
        """What the forward terms would read if nothing moved: |x_t+1 - x_t|^2, (B, T-1)."""
        dee = batch["ee_step"] * batch["ee_step_scale"]
        return {"copy_y": squared(y_next - y), "copy_ee": squared(dee)}

    def forward_errors(self, batch: dict) -> dict[str, jax.Array]:
        """Squared errors of x_t+1 predicted from x_t and its own label, each (B, T-1).

        `forward_y` and `forward_ee` as the forward terms of `loss`, without noise in z, beside
        their copy baselines `copy_y` and `copy_ee`.
        """
        y_BxTxY = self.encode(batch["image"])
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        terms = self.forward_terms(y, y_next, batch, self.label(batch))
        return terms | self.copy_baseline(y, y_next, batch)

    def image_term(self, batch: dict, y_BxTxY: jax.Array, key: jax.Array) -> jax.Array:
        """Reconstruction error summed over pixels, (B,): squared, or cross-entropy.

        Rows that are not drawn are 0, and those that are stand for them in the batch's mean.
        """
        b, t = y_BxTxY.shape[:2]
        key_row, key_frame = jax.random.split(key)
        size = round(1 / self.reconstruct_share)
        rows, weight, run = draws.one_of_every(size, key_row, draws.row_numbers(batch, b))
        frame = draws.per_row(lambda k: jax.random.randint(k, (), 0, t), key_frame, run)
        pixels = self.pixels(batch["image"].at[rows, frame].get(mode="clip"))
        out = self.decoder(y_BxTxY.at[rows, frame].get(mode="clip"))
        error = {
            "rgb": lambda: (out - pixels) ** 2,
            "mask": lambda: nn.softplus(out) - pixels * out,  # cross-entropy of logits
        }[self.modality]()
        return jnp.zeros(b).at[rows].set(error.sum(axis=(1, 2, 3)) * weight, mode="drop")


class GroundedModel(LatentActionModel, kw_only=True):
    """Base of the world models whose latents are decoded to robot actions.

    Attributes:
      decoder_layers: of the action decoder.
    """

    decodes = True

    decoder_layers: int

    def setup(self):
        super().setup()
        self.action_decoder = ActionDecoder(
            self.decoder_layers, self.sizes.width, self.layout.action_dim
        )

    def decode(self, z: jax.Array) -> jax.Array:
        """Normalised robot action of a latent, (..., Z) -> (..., A)."""
        return self.action_decoder(z)

    def decoder_inputs(self, batch: dict, key: jax.Array) -> jax.Array:
        """Latents of target transitions as the action decoder meets them in training.

        (B, T-1, Z); by default the labels, which `key` does not change.
        """
        del key
        return self.label(batch)


def squared(x: jax.Array) -> jax.Array:
    """Sum of squares over the last axis."""
    return jnp.sum(x * x, axis=-1)


def over_time(values: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """(B, T-1, ...) -> (B, ...): means over the window's transitions."""
    return {name: value.mean(axis=1) for name, value in values.items()}
