"""GLAM and GLAM-O: the grounded latent-action world model, docs/equations.md.

GLAM-O is the same model with masks of the manipulated objects in place of RGB.
"""

import jax
import jax.numpy as jnp

from glam_jax.models import draws
from glam_jax.models.modules import (
    Gaussian,
    Posterior,
    ProprioForward,
    kl_divergence,
    kl_to_standard_normal,
)
from glam_jax.models.world_model import GroundedModel, over_time, squared


class Glam(GroundedModel, kw_only=True):
    """World model with two posteriors over one latent action z in R^d.

    Attributes, besides those of every world model:
      proprio_blocks: of the proprioceptive forward model.
      alignment: "asymmetric" (GLAM): KL(q_phi, sg q_eta); "symmetric": the mean of
        KL(q_phi, q_eta) and KL(q_eta, q_phi), no gradient stopped; "none".
      action_loss_on: whose sample the action decoder reads: "action_encoder" (GLAM) or "idm".
    """

    # With z_phi ~ q_phi(z given x_t, x_t+1) and z_eta ~ q_eta(z given s_t, a_t):
    term_rows = {
        # J_H
        "image": "all",  # o from y
        "forward_y": "all",  # y_t+1 from x_t and z_phi
        "forward_ee": "all",  # x^e_t+1 from x_t and z_phi
        "kl_idm": "all",  # KL(q_phi, N(0, I))
        # J_T
        "target_forward_y": "target",  # y_t+1 from x_t and z_eta
        "target_forward_ee": "target",  # x^e_t+1 from x_t and z_eta
        "proprio": "target",  # s_t+1 from s_t and z_eta
        "action": "target",  # a_t from z_eta
        "kl_action_encoder": "target",  # KL(q_eta, N(0, I))
        # C_KL
        "alignment": "target",  # KL(q_phi, sg q_eta)
    }

    proprio_blocks: int
    alignment: str = "asymmetric"
    action_loss_on: str = "action_encoder"

    def setup(self):
        super().setup()
        blocks, width, latent = self.sizes.posterior_blocks, self.sizes.width, self.sizes.latent
        self.idm = Posterior(blocks, width, latent)
        self.action_encoder = Posterior(blocks, width, latent)
        self.proprio_forward = ProprioForward(self.proprio_blocks, width)

    def label(self, batch) -> jax.Array:
        """z_t = mean of q_phi(z_t given x_t, x_t+1), (B, T-1, Z)."""
        return self.infer(self.encode(batch["image"]), batch).mean

    def decoder_inputs(self, batch: dict, key: jax.Array) -> jax.Array:
        """Samples of the posterior that `action_loss_on` names, (B, T-1, Z)."""
        row_B = draws.row_numbers(batch, len(batch["image"]))
        if self.action_loss_on == "idm":
            return self.infer(self.encode(batch["image"]), batch).sample(key, row_B)
        q_eta = self.action_encoder(batch["proprio"][:, :-1], batch["action"][:, :-1])
        return q_eta.sample(key, row_B)

    def loss(self, batch: dict, key: jax.Array) -> tuple[dict, dict]:
        """Terms of J_H + J_T + C_KL; see `LatentActionModel.loss`."""
        key_phi, key_eta, key_image = jax.random.split(key, 3)
        y_BxTxY = self.encode(batch["image"])
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        row_B = draws.row_numbers(batch, len(y))

        # J_H, on every source; its image term is below.
        q_phi = self.infer(y_BxTxY, batch)
        z_phi = q_phi.sample(key_phi, row_B)
        terms = self.forward_terms(y, y_next, batch, z_phi)
        terms["kl_idm"] = kl_to_standard_normal(q_phi)

        # J_T and C_KL, which need the robot's actions.
        proprio, action = batch["proprio"][:, :-1], batch["action"][:, :-1]
        q_eta = self.action_encoder(proprio, action)
        z_eta = q_eta.sample(key_eta, row_B)
        forward = self.forward_terms(y, y_next, batch, z_eta)
        proprio_error = self.proprio_forward(proprio, z_eta) - batch["proprio_step"]
        z_decoded = {"action_encoder": z_eta, "idm": z_phi}[self.action_loss_on]
        terms |= {
            "target_forward_y": forward["forward_y"],
            "target_forward_ee": forward["forward_ee"],
            "proprio": squared(proprio_error * batch["proprio_step_scale"]),
            "action": squared(self.decode(z_decoded) - action),
            "kl_action_encoder": kl_to_standard_normal(q_eta),
            "alignment": self.alignment_term(q_phi, q_eta),
        }
        image = self.image_term(batch, y_BxTxY, key_image)
        metrics = self.copy_baseline(y, y_next, batch)
        return {"image": image, **over_time(terms)}, over_time(metrics)

    def alignment_term(self, q_phi: Gaussian, q_eta: Gaussian) -> jax.Array:
        """C_KL (B, T-1), or one of its ablations."""
        return {
            "asymmetric": lambda: kl_divergence(q_phi, q_eta.stopped()),
            "symmetric": lambda: 0.5 * (kl_divergence(q_phi, q_eta) + kl_divergence(q_eta, q_phi)),
            "none": lambda: jnp.zeros(q_phi.mean.shape[:-1]),
        }[self.alignment]()
