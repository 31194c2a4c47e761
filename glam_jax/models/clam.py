"""CLAM and CLAM-O: a continuous latent action that must explain the robot's.

Trained on the target alone: auxiliary rows have no actions, and nothing here aligns sources.
CLAM-O is the same model with masks of the manipulated objects in place of RGB.
"""

import jax

from glam_jax.models.modules import PointPosterior
from glam_jax.models.world_model import GroundedModel, over_time, squared


class Clam(GroundedModel, kw_only=True):
    """World model with a deterministic latent z = f(x_t, x_t+1), of which no prior is asked.

    The forward model and the action decoder both read the inverse dynamics model's z, and both
    train it; there is no action encoder. Attributes are those of every world model.
    """

    term_rows = {
        "image": "all",
        "forward_y": "all",
        "forward_ee": "all",
        "action": "target",
    }

    def setup(self):
        super().setup()
        sizes = self.sizes
        self.idm = PointPosterior(sizes.posterior_blocks, sizes.width, sizes.latent)

    def label(self, batch) -> jax.Array:
        """z_t as the inverse dynamics model gives it, (B, T-1, Z)."""
        return self.infer(self.encode(batch["image"]), batch)

    def loss(self, batch: dict, key: jax.Array) -> tuple[dict, dict]:
        """Reconstruction of images, next states and actions; see `LatentActionModel.loss`."""
        y_BxTxY = self.encode(batch["image"])
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        z = self.infer(y_BxTxY, batch)
        terms = self.forward_terms(y, y_next, batch, z)
        terms["action"] = squared(self.decode(z) - batch["action"][:, :-1])
        image = self.image_term(batch, y_BxTxY, key)
        metrics = self.copy_baseline(y, y_next, batch)
        return {"image": image, **over_time(terms)}, over_time(metrics)
