"""A run folder with a tiny policy of random parameters, as training would leave it."""

import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict
from random_params import random_params

from glam_jax import config, schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.experiment.workdir import Workdir
from glam_jax.runtime import checkpoint, optim
from glam_jax.stages import clone, units

LAYOUT = schema.Layout(arms=1, image_size=16, has_actions=True)
EPISODE = schema.fake_episode(LAYOUT, 40)
# Gripper commands are in [0, 1]; what a server does to others is not the policy's own.
EPISODE.steps["action"][:, 7] = np.abs(EPISODE.steps["action"][:, 7]).clip(0, 1)
CHUNK, EXECUTE = 6, 4
TINY = {
    "chunk": CHUNK, "channels": (4, 4, 4), "features": 8, "hidden": 8, "condition": 8,
    "layers": 3, "width": 16, "decoder_layers": 2,
}  # fmt: skip


def tiny_config() -> ConfigDict:
    """Lifting on the clean arm by MIP, which needs no world model."""
    tiny = ConfigDict(config.make("lifting", "method=mip,scale=quick").to_dict())
    tiny.image_size, tiny.data.target = LAYOUT.image_size, "kinova"
    tiny.data.views, tiny.evaluate.execute = LAYOUT.views, EXECUTE
    tiny.policy.update(TINY)
    return tiny.lock()


def save(path: pathlib.Path) -> pathlib.Path:
    """Makes the run folder and returns it."""
    settings, run = tiny_config(), Workdir(path)
    run.claim(settings)
    stats = normalize.statistics(Store([EPISODE]))
    leave(run, settings, LAYOUT, units.label_statistics(EPISODE.steps["action"], stats, False))
    return run.path


def leave(run: Workdir, settings: ConfigDict, layout: schema.Layout, stats: dict) -> None:
    """Leaves a policy in the run's folder, as stage 2 does."""
    model = clone.build(settings, layout, layout.action_dim)
    batch = schema.fake_batch(schema.chunk_batch_shapes(layout, 2, CHUNK, layout.action_dim))
    params = random_params(lambda key: model.init(key, batch, key, method="loss"))
    state = optim.init_state(params, optim.make_optimizer(learning_rate=1e-2, steps=2))
    metadata = {"label_dim": layout.action_dim}
    with checkpoint.Checkpoints(run.policy, statistics=stats, metadata=metadata) as saved:
        saved.save(state.replace(step=jax.numpy.int32(1)))


def observation(step: int) -> dict[str, np.ndarray]:
    """What a policy sees at a step of the episode that its statistics are of."""
    names = ("image_front", "image_overhead", "ee_pose", "proprio")
    return {name: EPISODE.steps[name][step] for name in names}
