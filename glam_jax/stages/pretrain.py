"""Stage 1: pretrain the world model on windows of every source."""

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.models import losses, precision
from glam_jax.models.lapa import Lapa
from glam_jax.models.world_model import LatentActionModel
from glam_jax.stages import codebook, training, units
from glam_jax.stages.world_model import WorldModel, build


def make_loss(
    model: LatentActionModel,
    weights: dict,
    target_rows: np.ndarray,
    compute: str = "float32",
):
    """(params, batch, key, stats) -> (scalar, terms and metrics): the weighted sum of the terms.

    Args:
      weights: term -> weight.
      target_rows: (B,) bool, as of `feeds.target_rows`. The loss also takes a piece of a
        batch: the mean over pieces of one size is the loss of the whole.
      compute: see `precision.apply`.
    """
    apply, share = precision.apply(model, compute), float(np.mean(target_rows))

    def loss(params, batch, key, stats):
        terms, metrics = apply(params, units.windows(batch, stats), key, method="loss")
        is_target = batch["is_target"]
        total, means = losses.reduce_terms(terms, model.term_rows, weights, is_target, share)
        return total, means | {name: value.mean(axis=0) for name, value in metrics.items()}

    return loss


def init_params(model: LatentActionModel, layout: schema.Layout, seed: int) -> dict:
    """Initial parameters from a seed."""
    shapes = schema.window_batch_shapes(layout, 2, 2, model.modality)
    batch = jax.tree.map(jnp.asarray, schema.fake_batch(shapes))
    nothing = {"mean": 0.0, "std": 1.0, "diff_std": 1.0}
    batch = units.windows(batch, dict.fromkeys(("ee_pose", "proprio", "action"), nothing))

    def init(key):
        return model.init(key, batch, key, method="loss")

    # Threefry takes three times as long to compile for this many draws.
    return jax.jit(init)(jax.random.key(seed, impl="rbg"))


def pretrain(
    config: ConfigDict,
    store: Store,
    heldout: Store,
    stats: normalize.Statistics,
    directory: epath.Path,
) -> WorldModel:
    """Trains the world model, or continues its training, and returns it frozen.

    Args:
      config: the resolved config of the run.
      store: training episodes of all sources. heldout: target episodes kept apart.
      stats: normalisation statistics, saved inside the checkpoints.
      directory: the stage's folder: checkpoints and metrics.
    Raises:
      See `loop.fit`.
    """
    run = config.pretrain
    model = build(config, store.layout)
    modality = config.world_model.modality
    resident = feeds.windows_fit(store, modality)
    draw = feeds.Draw(run.batch, run.target_share, config.seed, resident, run.steps_per_call)
    feed = feeds.WindowFeed(store, draw, run.window, modality)
    target_rows = feeds.target_rows(run.batch, run.target_share)

    def evaluate(step: int, state) -> dict[str, float]:
        if not model.decodes:
            return {}
        return WorldModel(model, state.ema, stats).decoded_error(heldout, config)

    stage = training.Stage(
        "stage 1, world model",
        loss=make_loss(model, run.weights.to_dict(), target_rows, run.compute),
        feed=feed,
        init=lambda: init_params(model, store.layout, config.seed),
        evaluate=evaluate,
        amend=codebook.make_amend(run) if isinstance(model, Lapa) else None,
    )
    ema = training.train(stage, config, run, stats=stats, metadata={}, directory=directory)
    return WorldModel(model, ema, stats)
