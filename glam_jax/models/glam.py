"""GLAM and GLAM-O: the grounded latent-action world model, SPEC section 2.

GLAM-O is the same model with masks of the manipulated objects in place of RGB.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models.layers import ConvDecoder, ConvEncoder
from glam_jax.models.modules import (
    ActionDecoder,
    ForwardModel,
    Gaussian,
    Posterior,
    ProprioForward,
    kl_divergence,
    kl_to_standard_normal,
)

ALIGNMENTS = ("asymmetric", "symmetric", "none")
ACTION_LOSSES = ("action_encoder", "idm")

# Every term of the loss and the rows it is a mean over.
TERM_ROWS = {
    "image": "all",
    "forward_y": "all",
    "forward_ee": "all",
    "kl_idm": "all",
    "target_forward_y": "target",
    "target_forward_ee": "target",
    "proprio": "target",
    "action": "target",
    "kl_action_encoder": "target",
    "alignment": "target",
}


class Glam(nn.Module):
    """World model with two posteriors over one latent action z in R^d.

    Verbs, shared by every world model: `loss` (training terms), `label` (z of a transition),
    `decode` (robot action of z).

    Attributes:
      modality: "rgb" or "mask"; what the images hold and how they are reconstructed.
      latent: d. visual: Y. Others as in SPEC section 2.
      alignment: "asymmetric" (GLAM): KL(q_phi, sg q_eta); "symmetric": without the stopped
        gradient, plus its mirror; "none".
      action_loss_on: whose sample the action decoder reads: "action_encoder" (GLAM) or "idm".
      reconstruct_share: share of the rows, drawn at random, whose image term is computed, on
        one frame of the window, drawn at random: an unbiased estimate of the mean over all
        frames at a fraction of the cost.
    """

    modality: str
    image_size: int
    action_dim: int
    latent: int
    visual: int
    channels: Sequence[int]
    width: int
    posterior_blocks: int
    forward_blocks: int
    proprio_blocks: int
    decoder_layers: int
    alignment: str = "asymmetric"
    action_loss_on: str = "action_encoder"
    reconstruct_share: float = 1.0

    def setup(self):
        for name, value, known in (
            ("modality", self.modality, ("rgb", "mask")),
            ("alignment", self.alignment, ALIGNMENTS),
            ("action_loss_on", self.action_loss_on, ACTION_LOSSES),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")
        image_channels = 2 * (3 if self.modality == "rgb" else 1)
        self.encoder = ConvEncoder(self.channels, self.visual)
        self.decoder = ConvDecoder(self.channels, self.image_size, image_channels)
        self.idm = Posterior(self.posterior_blocks, self.width, self.latent)
        self.action_encoder = Posterior(self.posterior_blocks, self.width, self.latent)
        self.forward_model = ForwardModel(self.forward_blocks, self.width)
        self.proprio_forward = ProprioForward(self.proprio_blocks, self.width)
        self.action_decoder = ActionDecoder(self.decoder_layers, self.width, self.action_dim)

    def encode(self, image_BxTxHxWxC: jax.Array) -> jax.Array:
        """uint8 images (both views on channels) -> visual features y (B, T, Y)."""
        b, t = image_BxTxHxWxC.shape[:2]
        pixels = self.pixels(image_BxTxHxWxC).reshape(b * t, *image_BxTxHxWxC.shape[2:])
        return self.encoder(pixels).reshape(b, t, self.visual)

    def pixels(self, image: jax.Array) -> jax.Array:
        """uint8 -> float32 in [0, 1]."""
        scale = 255.0 if self.modality == "rgb" else 1.0
        return image.astype(jnp.float32) / scale

    def infer(self, y_BxTxY, batch) -> Gaussian:
        """Inverse dynamics q_phi(z_t given x_t, x_t+1) of every transition: (B, T-1, Z).

        x_t+1 enters as x_t and the step from it: the same information, well conditioned.
        """
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        return self.idm(y, y_next - y, batch["ee_pose"][:, :-1], batch["ee_step"])

    def label(self, batch) -> jax.Array:
        """z_t = mean of q_phi, (B, T-1, Z); SPEC section 3, relabel."""
        return self.infer(self.encode(batch["image"]), batch).mean

    def decode(self, z: jax.Array) -> jax.Array:
        """Normalised robot action of a latent, (..., Z) -> (..., A)."""
        return self.action_decoder(z)

    def reconstruct(self, image_BxTxHxWxC: jax.Array) -> jax.Array:
        """Images through the encoder and the decoder, float in [0, 1], for pictures."""
        y = self.encode(image_BxTxHxWxC)
        out = self.decoder(y.reshape(-1, self.visual)).reshape(image_BxTxHxWxC.shape)
        return nn.sigmoid(out) if self.modality == "mask" else jnp.clip(out, 0.0, 1.0)

    def loss(self, batch: dict, key: jax.Array) -> tuple[dict, dict]:
        """Unreduced terms of J_H + J_T + C_KL, each (B,), and metrics of the same shape.

        Vector terms are sums over dimensions and means over the window's transitions. `batch`
        is a normalised window batch (`normalize.windows`). `TERM_ROWS` says which rows count.
        """
        key_phi, key_eta, key_image = jax.random.split(key, 3)
        y_BxTxY = self.encode(batch["image"])
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        ee, proprio = batch["ee_pose"][:, :-1], batch["proprio"][:, :-1]
        action = batch["action"][:, :-1]

        q_phi = self.infer(y_BxTxY, batch)
        q_eta = self.action_encoder(proprio, action)
        z_phi, z_eta = q_phi.sample(key_phi), q_eta.sample(key_eta)

        def forward_terms(z):
            dy, dee = self.forward_model(y, ee, z)
            ee_error = (dee - batch["ee_step"]) * batch["ee_step_scale"]
            return squared(dy - (y_next - y)), squared(ee_error)

        forward_y, forward_ee = forward_terms(z_phi)
        target_forward_y, target_forward_ee = forward_terms(z_eta)
        proprio_error = self.proprio_forward(proprio, z_eta) - batch["proprio_step"]
        z_decoded = z_eta if self.action_loss_on == "action_encoder" else z_phi
        terms = {
            "forward_y": forward_y,
            "forward_ee": forward_ee,
            "kl_idm": kl_to_standard_normal(q_phi),
            "target_forward_y": target_forward_y,
            "target_forward_ee": target_forward_ee,
            "proprio": squared(proprio_error * batch["proprio_step_scale"]),
            "action": squared(self.decode(z_decoded) - action),
            "kl_action_encoder": kl_to_standard_normal(q_eta),
            "alignment": self.alignment_term(q_phi, q_eta),
        }
        ee_copy = batch["ee_step"] * batch["ee_step_scale"]
        # The copy baseline: what forward_* would read if nothing moved.
        metrics = {"copy_y": squared(y_next - y), "copy_ee": squared(ee_copy)}
        over_time = [{k: v.mean(axis=1) for k, v in d.items()} for d in (terms, metrics)]
        image = self.image_term(batch["image"], y_BxTxY, key_image)
        return {"image": image, **over_time[0]}, over_time[1]

    def alignment_term(self, q_phi: Gaussian, q_eta: Gaussian) -> jax.Array:
        """C_KL of SPEC section 2 (B, T-1), or one of its ablations."""
        if self.alignment == "asymmetric":
            return kl_divergence(q_phi, q_eta.stopped())
        if self.alignment == "symmetric":
            return 0.5 * (kl_divergence(q_phi, q_eta) + kl_divergence(q_eta, q_phi))
        return jnp.zeros(q_phi.mean.shape[:-1])

    def image_term(self, image_BxTxHxWxC, y_BxTxY, key) -> jax.Array:
        """Reconstruction error summed over pixels, (B,): squared, or cross-entropy.

        Rows that are not drawn are 0, and those that are stand for them in the batch's mean.
        """
        b, t = image_BxTxHxWxC.shape[:2]
        count = max(1, round(b * self.reconstruct_share))
        key_row, key_frame = jax.random.split(key)
        rows = jax.random.permutation(key_row, b)[:count]
        frame = jax.random.randint(key_frame, (count,), 0, t)
        pixels = self.pixels(image_BxTxHxWxC[rows, frame])
        out = self.decoder(y_BxTxY[rows, frame])
        error = {
            "rgb": lambda: (out - pixels) ** 2,
            "mask": lambda: nn.softplus(out) - pixels * out,  # cross-entropy of logits
        }[self.modality]()
        return jnp.zeros(b).at[rows].set(error.sum(axis=(1, 2, 3)) * (b / count))


def squared(x: jax.Array) -> jax.Array:
    """Sum of squares over the last axis."""
    return jnp.sum(x * x, axis=-1)
