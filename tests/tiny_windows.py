"""What the tests of the world models share: small sizes, a batch, and gradients compared."""

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax import schema
from glam_jax.models import losses
from glam_jax.models.world_model import Sizes

LAYOUT = schema.Layout(arms=1, image_size=16, has_actions=True)
SIZES = Sizes(4, 8, (4, 4, 4, 4), width=16, posterior_blocks=1, forward_blocks=1)
# Of every world model.
SMALL = {"layout": LAYOUT, "sizes": SIZES}
# The same, of the paper's sizes for two arms.
LARGE = {
    "layout": schema.Layout(arms=2, image_size=64, has_actions=True),
    "sizes": Sizes(16, 128, (32, 64, 128, 256), width=256, posterior_blocks=5, forward_blocks=4),
}


def window_batch(rows=4, modality="mask", layout=LAYOUT, time=3):
    """A batch as of `units.windows`, of random numbers."""
    batch = schema.fake_batch(schema.window_batch_shapes(layout, rows, time, modality))
    if modality == "mask":
        batch["image"] %= 2
    mask = batch["is_target"][:, None, None]
    batch |= {
        "ee_step": np.diff(batch["ee_pose"], axis=1),
        "ee_step_scale": 1.0,
        "proprio_step_scale": 1.0,
    }
    batch["proprio_step"] = np.diff(batch["proprio"], axis=1) * mask
    return jax.tree.map(jnp.asarray, batch)


def scramble_auxiliary(batch):
    """The batch with everything else in its auxiliary rows."""
    rows = batch["is_target"] == 0

    def scrambled(value):
        return jnp.where(rows.reshape(-1, *[1] * (value.ndim - 1)), value[::-1] + 1, value)

    kept = {"is_target", "ee_step_scale", "proprio_step_scale"}
    other = {k: v if k in kept else scrambled(v) for k, v in batch.items()}
    other["image"] %= 2
    return other


def make_gradients(model):
    """(weights, params, batch) -> gradients of the weighted loss of the terms; jitted."""

    def total(params, weights, batch):
        terms, _ = model.apply(params, batch, jax.random.key(2), method="loss")
        return losses.reduce_terms(terms, model.term_rows, weights, batch["is_target"])[0]

    @jax.jit
    def gradients(weights, params, batch):
        return jax.grad(total)(params, weights, batch)["params"]

    return gradients


def only(model, *names):
    """Weights of 1 for the named terms of a model, and 0 for the others."""
    return {name: float(name in names) for name in model.term_rows}


def size(tree):
    return sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))
