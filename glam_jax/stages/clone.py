"""Stage 2: behaviour-clone latents, decode them to robot actions. MIP clones actions."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.models import losses, mip, precision, vision
from glam_jax.models.augment import Augmentation
from glam_jax.models.dinov2 import weights
from glam_jax.models.dinov2.vit import DinoV2
from glam_jax.models.modules import ActionDecoder
from glam_jax.runtime import checkpoint
from glam_jax.stages import training, units
from glam_jax.stages.decoded_error import EE_MM, at_the_grip, measure_of, summary

EVALUATION_BATCH = 128


def build(config: ConfigDict, layout: schema.Layout, label_dim: int) -> mip.MipPolicy:
    """The policy that a config describes, predicting chunks of labels of `label_dim`."""
    policy, decoder = config.policy, None
    if config.method != "mip":
        decoder = ActionDecoder(policy.decoder_layers, policy.width, layout.action_dim)
    views = tuple(_view_encoder(policy) for _ in layout.views)
    return mip.MipPolicy(
        vision=vision.ViewsEncoder(views, policy.view_size, policy.hidden, policy.condition),
        network=mip.MipNetwork(policy.layers, policy.width),
        action_decoder=decoder,
        augmentation=Augmentation(
            policy.shift_pixels, policy.shading, policy.colour_jitter, policy.pose_noise
        ),
        chunk=policy.chunk,
        label_dim=label_dim,
        proprio=policy.proprio,
    )


def _view_encoder(policy: ConfigDict) -> nn.Module:
    """The encoder of one view."""
    if policy.encoder == vision.CONV:
        return vision.SmallEncoder(tuple(policy.channels), policy.features)
    dtype = jnp.dtype(policy.dinov2_dtype)
    return DinoV2(offset=policy.dinov2_offset, dtype=dtype, remat=policy.dinov2_remat)


def make_loss(
    model: mip.MipPolicy,
    weights: dict,
    target_rows: np.ndarray,
    compute: str = "float32",
):
    """(params, batch, key, stats) -> (scalar, terms): the loss of stage 2, docs/equations.md.

    Args:
      weights: term -> weight.
      target_rows: (B,) bool, as of `feeds.target_rows`. The loss also takes a piece of a
        batch: the mean over pieces of one size is the loss of the whole.
      compute: see `precision.apply`.
    """
    apply, share = precision.apply(model, compute), float(np.mean(target_rows))

    def loss(params, batch, key, stats):
        terms, _ = apply(params, units.chunks(batch, stats), key, method="loss")
        return losses.reduce_terms(terms, model.term_rows, weights, batch["is_target"], share)

    return loss


def make_act(model: mip.MipPolicy):
    """policy(params, observation, keys) -> action chunk (B, K, A) in rad and gripper command,
    within the range of the demonstrated actions.

    `params` holds the network's parameters and the statistics: `{"params", "stats"}`.
    """

    def act(params, observation, keys):
        del keys  # MIP acts deterministically.
        seen = units.observation(observation, params["stats"])
        answer = model.apply(params["params"], seen, method="act")
        return units.robot_action(answer, params["stats"], model.decodes)

    return act


def init_params(model: mip.MipPolicy, layout: schema.Layout, seed: int) -> dict:
    """Initial parameters from a seed."""
    shapes = schema.chunk_batch_shapes(layout, 2, model.chunk, model.label_dim)
    batch = jax.tree.map(jnp.asarray, schema.fake_batch(shapes))
    init = jax.jit(lambda key: model.init(key, batch, key, method="loss"))
    return init(jax.random.key(seed, impl="rbg"))


@functools.lru_cache(maxsize=4)
def _jitted(act):
    return jax.jit(act)


def decoded_error(act, params: dict, heldout: Store, config: ConfigDict) -> dict[str, float]:
    """Error of predicted chunks on held-out target episodes, measured as
    `decoded_error.measure_of` says for the config; `act` and `params` are those of `make_act`.

    Of the first and the last transition of each chunk, and, in mm, where a gripper opens or closes
    (`heldout_grip_ee_mm`): that tells good policies from bad ones best, docs/policy_log.md.
    """
    (name, measure), chunk = measure_of(config), config.policy.chunk
    first, last, grip = [], [], []
    for batch in feeds.chunk_batches(heldout, EVALUATION_BATCH, chunk):
        seen = {k: batch[k] for k in ("image", "ee_pose", "proprio", "is_target")}
        actions = _jitted(act)(params, seen, None)
        distance = np.asarray(measure(actions, batch["action"]))
        counts = batch["real"][:, None] * batch["valid"] > 0
        first.append(distance[counts[:, 0], 0])
        last.append(distance[counts[:, -1], -1])
        if name == EE_MM:
            grip.append(at_the_grip(distance, batch["action"], counts))
    found = summary(first, f"heldout_{name}") | summary(last, f"heldout_chunk_end_{name}")
    if any(map(len, grip)):
        found |= summary(grip, f"heldout_grip_{name}")
    return found


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
      stats: `units.label_statistics`, saved inside the checkpoints.
      directory: the stage's folder: checkpoints and metrics.
    Raises:
      See `loop.fit`; where training starts, `weights.with_weights` too.
    """
    run, chunk = config.clone, config.policy.chunk
    model = build(config, store.layout, labels.shape[1])
    resident = feeds.chunks_fit(store)
    draw = feeds.Draw(run.batch, run.target_share, config.seed, resident, run.steps_per_call)
    feed = feeds.ChunkFeed(store, draw, labels, chunk)
    act = make_act(model)
    target_rows = feeds.target_rows(run.batch, run.target_share)
    stage = training.Stage(
        "stage 2, policy",
        loss=make_loss(model, run.weights.to_dict(), target_rows, run.compute),
        feed=feed,
        init=lambda: init_params(model, store.layout, config.seed),
        pretrained=lambda params: weights.with_weights(params, config),
        evaluate=lambda step, state: decoded_error(
            act, {"params": state.ema, "stats": stats}, heldout, config
        ),
    )
    metadata = {"label_dim": labels.shape[1]}
    ema = training.train(stage, config, run, stats=stats, metadata=metadata, directory=directory)
    return {"params": ema, "stats": stats}


def load(config: ConfigDict, layout: schema.Layout, directory: epath.Path):
    """(act, params) of a finished stage 2; see `make_act`.

    Raises:
      FileNotFoundError, CheckpointError: see `checkpoint.restore_for_inference`.
    """
    return restored(config, layout, checkpoint.restore_for_inference(directory))


def restored(config: ConfigDict, layout: schema.Layout, saved: checkpoint.Inference):
    """As `load`, of a checkpoint that was read."""
    model = build(config, layout, saved.metadata["label_dim"])
    return make_act(model), {"params": saved.params, "stats": saved.statistics}
