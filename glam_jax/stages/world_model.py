"""The world model: made from a config, and frozen after stage 1, in physical units."""

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
from glam_jax.errors import ConfigError
from glam_jax.models.clam import Clam
from glam_jax.models.glam import Glam
from glam_jax.models.lapa import Lapa
from glam_jax.models.world_model import LatentActionModel, Sizes
from glam_jax.runtime import checkpoint
from glam_jax.stages import decoded_error, units

# Transitions per call where no gradient is taken.
LABEL_BATCH = 256

# Method -> its world model; MIP has none. With "_o" it is the same model on masks.
WORLD_MODELS = {"glam": Glam, "clam": Clam, "lapa": Lapa}


def world_model_of(method: str) -> type[LatentActionModel] | None:
    """The class of a method's world model, None if it has none."""
    return WORLD_MODELS.get(method.removesuffix("_o"))


def build(config: ConfigDict, layout: schema.Layout) -> LatentActionModel:
    """The world model that a config describes.

    Raises:
      ConfigError: the config's method has none.
    """
    kind = world_model_of(config.method)
    if kind is None:
        raise ConfigError(f"method {config.method} has no world model")
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in config.world_model.items()}
    known = [field.name for field in dataclasses.fields(Sizes)]
    sizes = Sizes(**{name: settings.pop(name) for name in known})
    return kind(layout=layout, sizes=sizes, **settings)


def load(config: ConfigDict, layout: schema.Layout, directory: epath.Path) -> "WorldModel":
    """The frozen world model of a finished stage 1.

    Raises:
      FileNotFoundError, CheckpointError: see `checkpoint.restore_for_inference`.
    """
    saved = checkpoint.restore_for_inference(directory)
    return WorldModel(build(config, layout), saved.params, saved.statistics)


@functools.partial(jax.jit, static_argnames=("model", "verb"))
def _answer(model: LatentActionModel, verb: str, params, stats, batch: dict, *key: jax.Array):
    """What a verb of the model says of the one transition of each row of a batch: (B, ...)."""
    seen = units.windows(batch, stats)
    answer = model.apply(params, seen, *key, method=verb)
    chex.assert_tree_shape_prefix(answer, (len(batch["is_target"]), 1))
    return jax.tree.map(lambda x_BxTx: x_BxTx[:, 0], answer)


@functools.partial(jax.jit, static_argnames="model")
def _decode(model: LatentActionModel, params, stats, z_BxZ: jax.Array) -> jax.Array:
    action = model.apply(params, z_BxZ, method="decode")
    return normalize.unnormalize(action, stats["action"])


@dataclasses.dataclass(frozen=True)
class WorldModel:
    """A frozen world model in physical units: poses in, latents out, actions in rad out.

    One that does not `decode` (LAPA's learns no actions) raises ValueError where it is asked to.
    """

    model: LatentActionModel
    params: dict
    stats: normalize.Statistics

    @property
    def decodes(self) -> bool:
        """Whether it has an action decoder."""
        return self.model.decodes

    @property
    def modality(self) -> str:
        """What it sees: "rgb" or "mask"."""
        return self.model.modality

    def _of_transitions(self, store: Store, verb: str, key: jax.Array | None = None):
        """The answers of a verb for every transition of a store, in order: arrays (n, ...).

        A verb that draws gets another key for each batch.
        """
        found = []
        batches = feeds.transition_batches(store, LABEL_BATCH, self.modality)
        for index, batch in enumerate(batches):
            keys = () if key is None else (jax.random.fold_in(key, index),)
            answer = _answer(self.model, verb, self.params, self.stats, batch, *keys)
            found.append((answer, batch["real"] > 0))
        found = [jax.tree.map(lambda x, real=real: np.asarray(x)[real], a) for a, real in found]
        return jax.tree.map(lambda *parts: np.concatenate(parts), *found)

    def label(self, store: Store) -> np.ndarray:
        """z_t, without noise, for every transition of a store, in order: (n, Z)."""
        return self._of_transitions(store, "label")

    def forward_errors(self, store: Store) -> dict[str, np.ndarray]:
        """How well each transition of a store is predicted from its own latent, in order, (n,).

        `forward_y` and `forward_ee` are the squared errors of the visual feature and of the pose,
        `copy_y` and `copy_ee` what they would be if nothing moved; see
        `LatentActionModel.forward_errors`.
        """
        return self._of_transitions(store, "forward_errors")

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
        return self._of_transitions(target, "decoder_inputs", jax.random.key(seed))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Robot actions of latents, (n, Z) -> (n, A), in rad and gripper command.

        Raises:
          ValueError: this world model has no action decoder.
        """
        self._check_decodes()
        chex.assert_shape(z, (None, self.model.sizes.latent))
        padded = np.concatenate([z, np.zeros((-len(z) % LABEL_BATCH, z.shape[1]), z.dtype)])
        rows = padded.reshape(-1, LABEL_BATCH, z.shape[1])
        actions = [_decode(self.model, self.params, self.stats, row) for row in rows]
        return np.concatenate([np.asarray(action) for action in actions])[: len(z)]

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
