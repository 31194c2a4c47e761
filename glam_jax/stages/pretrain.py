"""Stage 1: pretrain the world model on windows of every source."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.models import losses, precision
from glam_jax.models.clam import Clam
from glam_jax.models.glam import Glam
from glam_jax.models.lapa import Lapa
from glam_jax.models.world_model import LatentActionModel
from glam_jax.runtime import checkpoint
from glam_jax.stages import codebook, decoded_error, inputs, training

# Transitions per call where no gradient is taken.
LABEL_BATCH = 256

# Method -> its world model; MIP has none. With "_o" it is the same model on masks.
WORLD_MODELS = {"glam": Glam, "clam": Clam, "lapa": Lapa}


@dataclasses.dataclass(frozen=True)
class WorldModel:
    """A frozen world model in physical units: poses in, latents out, actions in rad out.

    One that does not `decode` (LAPA's learns no actions) raises ValueError where it is asked to.
    """

    model: LatentActionModel
    params: dict
    stats: normalize.Statistics

    @functools.cached_property
    def _label(self):
        def label(params, batch, stats):
            return self.model.apply(params, inputs.windows(batch, stats), method="label")[:, 0]

        return jax.jit(label)

    @functools.cached_property
    def _decode(self):
        def decode(params, z, stats):
            action = self.model.apply(params, z, method="decode")
            return normalize.unnormalize(action, stats["action"])

        return jax.jit(decode)

    @functools.cached_property
    def _forward(self):
        def errors(params, batch, stats):
            rows = inputs.windows(batch, stats)
            found = self.model.apply(params, rows, method="forward_errors")
            return {name: value[:, 0] for name, value in found.items()}

        return jax.jit(errors)

    @functools.cached_property
    def _decoder_inputs(self):
        def draw(params, batch, key, stats):
            rows = inputs.windows(batch, stats)
            return self.model.apply(params, rows, key, method="decoder_inputs")[:, 0]

        return jax.jit(draw)

    @property
    def decodes(self) -> bool:
        """Whether it has an action decoder."""
        return self.model.decodes

    def label(self, store: Store) -> np.ndarray:
        """z_t, without noise, for every transition of a store, in order: (n, Z)."""
        batches = feeds.transition_batches(store, LABEL_BATCH, self.model.modality)
        found = [(self._label(self.params, b, self.stats), b["real"] > 0) for b in batches]
        return np.concatenate([np.asarray(z)[real] for z, real in found])

    def forward_errors(self, store: Store) -> dict[str, np.ndarray]:
        """How well each transition of a store is predicted from its own latent, in order, (n,).

        `forward_y` and `forward_ee` are the squared errors of the visual feature and of the pose,
        `copy_y` and `copy_ee` what they would be if nothing moved; see
        `LatentActionModel.forward_errors`.
        """
        found = []
        for batch in feeds.transition_batches(store, LABEL_BATCH, self.model.modality):
            errors = self._forward(self.params, batch, self.stats)
            found.append({k: np.asarray(v)[batch["real"] > 0] for k, v in errors.items()})
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def decoder_inputs(self, target: Store, seed: int = 0) -> np.ndarray:
        """Latents that the action decoder is trained on, (n, Z): of target transitions, in order.

        GLAM's are samples of the action encoder's posterior, drawn anew from `seed`; CLAM's are
        its labels.

        Raises:
          ValueError: as `decode`, and for a store with auxiliary episodes, which have no actions.
        """
        self._check_decodes()
        if len(target.lengths) > target.targets:
            raise ValueError("decoder_inputs: the store has auxiliary episodes; expected none")
        key, found = jax.random.key(seed), []
        batches = feeds.transition_batches(target, LABEL_BATCH, self.model.modality)
        for index, batch in enumerate(batches):
            drawn = jax.random.fold_in(key, index)
            z = self._decoder_inputs(self.params, batch, drawn, self.stats)
            found.append(np.asarray(z)[batch["real"] > 0])
        return np.concatenate(found)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Robot actions of latents, (n, Z) -> (n, A), in rad and gripper command.

        Raises:
          ValueError: this world model has no action decoder.
        """
        self._check_decodes()
        padded = np.concatenate([z, np.zeros((-len(z) % LABEL_BATCH, z.shape[1]), z.dtype)])
        rows = padded.reshape(-1, LABEL_BATCH, z.shape[1])
        actions = [np.asarray(self._decode(self.params, row, self.stats)) for row in rows]
        return np.concatenate(actions)[: len(z)]

    def _check_decodes(self) -> None:
        if not self.decodes:
            raise ValueError(
                f"{type(self.model).__name__} learns no robot actions in stage 1: "
                "its latents are decoded by stage 2's policy alone"
            )

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images (N, V, H, W, C) through encoder and decoder, float in [0, 1]."""
        chex.assert_rank(images, 5)
        out = self.model.apply(self.params, jnp.asarray(images)[:, None], method="reconstruct")
        return np.asarray(out[:, 0])

    def decoded_error(self, heldout: Store, config: ConfigDict | None = None) -> dict[str, float]:
        """Error of decoded actions on the transitions of held-out target episodes, measured as
        `decoded_error.measure_of` says for the config; of the simulated arm without one.

        Raises:
          ValueError: as `decode`.
        """
        decoded = self.decode(self.label(heldout))
        name, distance = decoded_error.measure_of(config)
        found = distance(decoded, heldout.transition_actions())
        return decoded_error.summary([np.asarray(found)], f"heldout_{name}")


def world_model_of(method: str) -> type[LatentActionModel] | None:
    """The class of a method's world model, None if it has none."""
    return WORLD_MODELS.get(method.removesuffix("_o"))


def build(config: ConfigDict, layout: schema.Layout) -> LatentActionModel:
    """The world model that a config describes.

    Raises:
      ValueError: the config's method has none.
    """
    kind = world_model_of(config.method)
    if kind is None:
        raise ValueError(f"method {config.method} has no world model")
    settings = {name: _frozen(value) for name, value in config.world_model.items()}
    if kind.decodes:
        settings["action_dim"] = layout.action_dim
    return kind(image_size=layout.image_size, views=len(layout.views), **settings)


def _frozen(value):
    return tuple(value) if isinstance(value, (list, tuple)) else value


def make_loss(
    model: LatentActionModel,
    weights: dict,
    stats: normalize.Statistics,
    target_rows: np.ndarray,
    compute: str = "float32",
):
    """(params, batch, key) -> (scalar, terms and metrics): the weighted sum of the terms.

    Args:
      model, stats: see `pretrain`. weights: term -> weight.
      target_rows: (B,) bool, as of `feeds.target_rows`. The loss also takes a piece of a
        batch: the mean over pieces of one size is the loss of the whole.
      compute: see `precision.apply`.
    """
    apply, share = precision.apply(model, compute), float(np.mean(target_rows))

    def loss(params, batch, key):
        terms, metrics = apply(params, inputs.windows(batch, stats), key, method="loss")
        is_target = batch["is_target"]
        total, means = losses.reduce_terms(terms, model.term_rows, weights, is_target, share)
        return total, means | {name: value.mean(axis=0) for name, value in metrics.items()}

    return loss


def init_params(model: LatentActionModel, layout: schema.Layout, seed: int) -> dict:
    """Initial parameters from a seed."""
    shapes = schema.window_batch_shapes(layout, 2, 2, model.modality)
    batch = jax.tree.map(jnp.asarray, schema.fake_batch(shapes))
    nothing = {"mean": 0.0, "std": 1.0, "diff_std": 1.0}
    batch = inputs.windows(batch, dict.fromkeys(("ee_pose", "proprio", "action"), nothing))

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
    resident = feeds.window_bytes(store, modality) <= config.data.resident_bytes
    draw = feeds.Draw(run.batch, run.target_share, config.seed, resident)
    feed = feeds.WindowFeed(store, draw, run.window, modality)
    target_rows = feeds.target_rows(run.batch, run.target_share)

    labeller = WorldModel(model, {}, stats)

    def evaluate(step: int, state) -> dict[str, float]:
        if not labeller.decodes:
            return {}
        return _with_params(labeller, state.ema).decoded_error(heldout, config)

    ema = training.train(
        "stage 1, world model",
        config,
        run,
        loss=make_loss(model, run.weights.to_dict(), stats, target_rows, run.compute),
        feed=feed,
        init=lambda: init_params(model, store.layout, config.seed),
        evaluate=evaluate,
        stats=stats,
        metadata={},
        directory=directory,
        amend=codebook.make_amend(run) if isinstance(model, Lapa) else None,
    )
    return WorldModel(model, ema, stats)


def _with_params(labeller: WorldModel, params) -> WorldModel:
    """The same model with other parameters, sharing what is compiled."""
    other = dataclasses.replace(labeller, params=params)
    other.__dict__.update(_label=labeller._label, _decode=labeller._decode)
    return other


def load(config: ConfigDict, layout: schema.Layout, directory: epath.Path) -> WorldModel:
    """The frozen world model of a finished stage 1.

    Raises:
      FileNotFoundError, CheckpointError: see `checkpoint.restore_for_inference`.
    """
    saved = checkpoint.restore_for_inference(directory)
    return WorldModel(build(config, layout), saved.params, saved.statistics)
