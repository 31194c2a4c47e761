"""Stage 2: behaviour-clone latents, decode them to robot actions. MIP clones actions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.models import losses, mip, precision
from glam_jax.models.dinov2 import weights
from glam_jax.runtime import checkpoint
from glam_jax.stages import inputs, training
from glam_jax.stages.decoded_error import measure_of, summary

EVALUATION_BATCH = 128


def build(config: ConfigDict, layout: schema.Layout, label_dim: int) -> mip.MipPolicy:
    """The policy that a config describes, predicting chunks of labels of `label_dim`."""
    settings = {
        k: tuple(v) if isinstance(v, (list, tuple)) else v
        for k, v in config.policy.items()
        if k != "dinov2_weights"  # a path; `weights.with_weights` reads it
    }
    return mip.MipPolicy(
        label_dim=label_dim,
        action_dim=layout.action_dim,
        decodes=config.method != "mip",
        **settings,
    )


def label_statistics(config: ConfigDict, labels: np.ndarray, stats: normalize.Statistics) -> dict:
    """The statistics of stage 2: those of the data, and of the labels under `label`.

    MIP's labels are the actions, so that its network predicts them normalised to [-1, 1] and
    `action` is scaled the same way.
    """
    stats = {**stats, "label": normalize.array_statistics(labels)}
    if config.method == "mip":
        low, high = stats["label"]["min"], stats["label"]["max"]
        stats["action"] = {**stats["label"], "mean": (low + high) / 2, "std": (high - low) / 2}
    return stats


def make_loss(
    model: mip.MipPolicy,
    weights: dict,
    stats: normalize.Statistics,
    target_rows: np.ndarray,
    compute: str = "float32",
):
    """(params, batch, key) -> (scalar, terms): SPEC section 3's loss.

    Args:
      model, stats: see `clone`. weights: term -> weight.
      target_rows: (B,) bool, as of `feeds.target_rows`. The loss also takes a piece of a
        batch: the mean over pieces of one size is the loss of the whole.
      compute: see `precision.apply`.
    """
    apply, share = precision.apply(model, compute), float(np.mean(target_rows))

    def loss(params, batch, key):
        seen, is_target = inputs.chunks(batch, stats), batch["is_target"]
        decoded = losses.target_indices(is_target, target_rows)
        terms, _ = apply(params, seen, key, decoded, method="loss")
        return losses.reduce_terms(terms, mip.TERM_ROWS, weights, is_target, share)

    return loss


def make_act(model: mip.MipPolicy):
    """policy(params, observation, keys) -> action chunk (B, K, A) in rad and gripper command,
    within the range of the demonstrated actions.

    `params` holds the network's parameters and the statistics: `{"params", "stats"}`.
    """

    def act(params, observation, keys):
        del keys  # MIP acts deterministically.
        seen = inputs.observation(observation, params["stats"])
        action = model.apply(params["params"], seen, method="act")
        stats = params["stats"]["action"]
        return jnp.clip(normalize.unnormalize(action, stats), stats["min"], stats["max"])

    return act


def init_params(model: mip.MipPolicy, layout: schema.Layout, seed: int) -> dict:
    """Initial parameters from a seed."""
    shapes = schema.chunk_batch_shapes(layout, 2, model.chunk, model.label_dim)
    batch = jax.tree.map(jnp.asarray, schema.fake_batch(shapes))
    batch["label"] = batch.pop("latent")
    init = jax.jit(lambda key: model.init(key, batch, key, method="loss"))
    return init(jax.random.key(seed, impl="rbg"))


@functools.lru_cache(maxsize=4)
def _jitted(act):
    return jax.jit(act)


def decoded_error(act, params: dict, heldout: Store, config: ConfigDict) -> dict[str, float]:
    """Error of predicted chunks on held-out target episodes, first and last step, measured as
    `decoded_error.measure_of` says for the config; `act` and `params` are those of `make_act`.
    """
    (name, measure), chunk = measure_of(config), config.policy.chunk
    no_labels = np.zeros((len(heldout.transition_frames()), 1), np.float32)
    first, last = [], []
    for batch in feeds.chunk_batches(heldout, no_labels, EVALUATION_BATCH, chunk):
        seen = {k: batch[k] for k in ("image", "ee_pose", "proprio", "is_target")}
        actions = _jitted(act)(params, seen, None)
        distance = np.asarray(measure(actions, batch["action"]))
        counts = batch["real"][:, None] * batch["valid"] > 0
        first.append(distance[counts[:, 0], 0])
        last.append(distance[counts[:, -1], -1])
    near = summary(first, f"heldout_{name}")
    return near | summary(last, f"heldout_chunk_end_{name}")


def clone(
    config: ConfigDict,
    store: Store,
    heldout: Store,
    labels: np.ndarray,
    stats: normalize.Statistics,
    directory: epath.Path,
) -> dict:
    """Trains the policy, or continues its training; returns `make_act`'s params.

    Args:
      config: the resolved config of the run.
      store: training episodes. heldout: target episodes kept apart.
      labels: (n, D) what to predict for each transition of `store`, in order.
      stats: `label_statistics`, saved inside the checkpoints.
      directory: the stage's folder: checkpoints and metrics.
    Raises:
      See `loop.fit`; where training starts, `weights.with_weights` too.
    """
    run, chunk = config.clone, config.policy.chunk
    model = build(config, store.layout, labels.shape[1])
    resident = feeds.chunk_bytes(store) <= config.data.resident_bytes
    feed = feeds.ChunkFeed(store, labels, run.batch, chunk, run.target_share, config.seed, resident)
    act = make_act(model)
    target_rows = feeds.target_rows(run.batch, run.target_share)
    ema = training.train(
        "stage 2, policy",
        config,
        run,
        loss=make_loss(model, run.weights.to_dict(), stats, target_rows, run.compute),
        feed=feed,
        init=lambda: init_params(model, store.layout, config.seed),
        pretrained=lambda params: weights.with_weights(params, config),
        evaluate=lambda step, state: decoded_error(
            act, {"params": state.ema, "stats": stats}, heldout, config
        ),
        stats=stats,
        metadata={"label_dim": labels.shape[1]},
        directory=directory,
    )
    return {"params": ema, "stats": stats}


def load(config: ConfigDict, layout: schema.Layout, directory: epath.Path):
    """(act, params) of a finished stage 2; see `make_act`.

    Raises:
      FileNotFoundError, CheckpointError: see `checkpoint.restore_for_inference`.
    """
    saved = checkpoint.restore_for_inference(directory)
    model = build(config, layout, saved.metadata["label_dim"])
    return make_act(model), {"params": saved.params, "stats": saved.statistics}
