"""Training of both stages as the stages run it, their batches alone, and relabelling."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from glam_jax import config as configs
from glam_jax.benchmark import cost, samples
from glam_jax.benchmark.case import SCALES, Case, Sizes, Work
from glam_jax.data import feeds
from glam_jax.data.store import Store
from glam_jax.runtime import loop, optim
from glam_jax.stages import clone, pretrain, units, world_model
from glam_jax.stages import training as stages

# Of a made-up episode: the transitions of all fill one batch of relabelling.
FRAMES = 33
# Of one call on a CPU, at the standard scale; at the paper's a call is one update.
ROWS_ON_CPU = 4096
# Stage in the config -> group of the case, and what it trains on.
STAGES = {"pretrain": ("stage1", "transition"), "clone": ("stage2", "chunk")}


def cases(stage: str, sizes: Sizes) -> Iterator[Case]:
    """Training of the stage "pretrain" or "clone", at all scales and batch sizes.

    On one device; a unit is a transition of stage 1, or an observation and its chunk of stage 2.
    """
    group, unit = STAGES[stage]
    for scale in SCALES:
        for batch in sizes.batches[scale]:
            config = config_of(scale, stage, batch)
            transitions = config.pretrain.window - 1 if stage == "pretrain" else 1
            items = batch * transitions * config[stage].steps_per_call
            make = functools.partial(_work, stage, config)
            yield Case(f"{group}/{scale}/batch {batch}", unit, items, make)


def config_of(scale: str, stage: str, batch: int) -> ConfigDict:
    """GLAM-O's config of a scale, with another batch for a stage.

    On a CPU with fewer updates per call, about as many as the training loop would make.
    """
    config = configs.make("lifting", f"scale={scale}")
    run = config[stage]
    run.batch = batch
    if jax.default_backend() == "cpu":
        rows = ROWS_ON_CPU if scale == "standard" else 0
        run.steps_per_call = max(1, min(run.steps_per_call, rows // batch))
    return config


def feed_of(
    stage: str, config: ConfigDict, resident: bool = True, data: Store | None = None
) -> feeds.Feed:
    """A stage's batches from made-up data, kept on the device or streamed from the host."""
    data = data or samples.store(config.image_size, FRAMES)[0]
    run = config[stage]
    draw = feeds.Draw(run.batch, run.target_share, config.seed, resident, run.steps_per_call)
    if stage == "pretrain":
        return feeds.WindowFeed(data, draw, run.window, config.world_model.modality)
    labels = samples.labels(data, config.world_model.latent)
    return feeds.ChunkFeed(data, draw, labels, config.policy.chunk)


@dataclasses.dataclass
class Trainer:
    """A stage with its state: each call is one dispatch, as the training loop makes it.

    Attributes:
      step: the pure train step. state, fetched, constants: its arguments; each call replaces the
        state.
      updates: of one dispatch. batch: shapes of what one update sees.
    """

    step: Callable
    state: optim.TrainState
    fetched: Any
    constants: dict
    updates: int
    batch: dict

    def __post_init__(self):
        self._call = jax.jit(loop.make_call(self.step, self.updates), donate_argnums=0)
        self._count = jax.device_put(np.int32(self.updates))

    def __call__(self) -> dict:
        self.state, metrics = self._call(self.state, self.fetched, self.constants, self._count)
        return metrics

    def cost(self) -> cost.Cost:
        """Of one call: the state is read and written, and the batch is read, in each update."""
        must = cost.count(self.step, self.state, self.fetched, self.constants)
        moved = 2 * cost.nbytes(self.state) + cost.nbytes(self.batch)
        return cost.Cost(must.flops * self.updates, float(moved * self.updates), must.at_least)


def trainer(
    stage: str, config: ConfigDict, made_up: bool = False, feed: feeds.Feed | None = None
) -> Trainer:
    """A stage of a config on made-up data or on a feed, from its initial parameters or from made-up
    ones, which need no compilation."""
    feed, (loss, init, stats) = feed or feed_of(stage, config), parts(stage, config)
    params = samples.params(init) if made_up else init()
    step, optimizer = stages.make_step(config[stage], loss=loss, feed=feed)
    state, fetched = optim.init_state(params, optimizer), feed.fetch(0)
    batch = jax.eval_shape(feed.assemble, fetched, state.step)
    constants = jax.device_put(loop.constants_of(config.seed, stats))
    return Trainer(step, state, fetched, constants, config[stage].steps_per_call, batch)


def parts(stage: str, config: ConfigDict) -> tuple[Callable, Callable[[], dict], dict]:
    """A stage's loss, what makes its initial parameters, and the statistics."""
    return _PARTS[stage](config)


def _pretrain(config: ConfigDict) -> tuple[Callable, Callable[[], dict], dict]:
    data, stats = samples.store(config.image_size, FRAMES)
    run, model = config.pretrain, world_model.build(config, data.layout)
    rows = feeds.target_rows(run.batch, run.target_share)
    loss = pretrain.make_loss(model, run.weights.to_dict(), rows, run.compute)
    init = functools.partial(pretrain.init_params, model, data.layout, config.seed)
    return loss, init, stats


def _clone(config: ConfigDict) -> tuple[Callable, Callable[[], dict], dict]:
    data, stats = samples.store(config.image_size, FRAMES)
    labels = samples.labels(data, config.world_model.latent)
    run, model = config.clone, clone.build(config, data.layout, labels.shape[1])
    rows = feeds.target_rows(run.batch, run.target_share)
    stats = units.label_statistics(labels, stats, latent=True)
    loss = clone.make_loss(model, run.weights.to_dict(), rows, run.compute)
    return loss, functools.partial(clone.init_params, model, data.layout, config.seed), stats


_PARTS = {"pretrain": _pretrain, "clone": _clone}


def _work(stage: str, config: ConfigDict) -> Work:
    made = trainer(stage, config, made_up=True)
    # Two calls before the clock starts, because the first one compiles.
    return Work(made, made.cost(), _dtype(stage, config), warm_up=2)


def _dtype(stage: str, config: ConfigDict) -> str:
    """Of most of the matrix products."""
    if stage == "clone" and config.policy.encoder == "dinov2":
        return config.policy.dinov2_dtype
    return config[stage].compute


# --- Batches alone ----------------------------------------------------------------------

_ROWS = {"pretrain": "windows", "clone": "chunks"}


def batches(sizes: Sizes) -> Iterator[Case]:
    """Batches of the standard scale, of every batch size, drawn on the device from resident data or
    gathered on the host from streamed ones."""
    for stage, rows in _ROWS.items():
        for kind in ("resident", "streamed"):
            for batch in sizes.batches["standard"] or sizes.batches["paper"]:
                make = functools.partial(fed, stage, kind, batch)
                yield Case(f"data/{rows} {kind}/batch {batch}", "row", batch, make)


def fed(stage: str, kind: str, batch: int) -> Work:
    """A batch of a stage, "resident" or "streamed"."""
    config = config_of("standard", stage, batch)
    config[stage].steps_per_call = 1
    feed = feed_of(stage, config, kind == "resident")
    shapes = jax.eval_shape(feed.assemble, feed.fetch(0), jnp.int32(0))
    must = cost.Cost(0.0, 2.0 * cost.nbytes(shapes))  # gathered: read and written
    if kind == "resident":
        assemble, fetched, step = jax.jit(feed.assemble), feed.fetch(0), jnp.int32(0)
        return Work(lambda: assemble(fetched, step), must, warm_up=2)
    steps = itertools.count()
    return Work(lambda: jax.device_put(feed.fetch(next(steps))), must, warm_up=2)


# --- Relabelling ------------------------------------------------------------------------


def relabellings(sizes: Sizes) -> Iterator[Case]:
    """The frozen world model gives every transition of a store its latent, at each scale that has a
    batch size; its own batch is fixed."""
    for scale in (scale for scale in SCALES if sizes.batches[scale]):
        config = config_of(scale, "pretrain", sizes.batches[scale][0])
        transitions = 2 * samples.EPISODES * (FRAMES - 1)
        make = functools.partial(_relabelled, config)
        yield Case(f"relabel/{scale}", "transition", transitions, make)


def _relabelled(config: ConfigDict) -> Work:
    data, stats = samples.store(config.image_size, FRAMES)
    model, modality = world_model.build(config, data.layout), config.world_model.modality
    init = functools.partial(pretrain.init_params, model, data.layout, config.seed)
    params = samples.params(init)
    frozen = world_model.WorldModel(model, params, stats)
    batch = next(feeds.transition_batches(data, world_model.LABEL_BATCH, modality))

    def label(params, batch):
        return model.apply(params, units.windows(batch, stats), method="label")

    calls = -(-len(data.transition_frames()) // world_model.LABEL_BATCH)
    must = cost.count(label, params, batch).times(calls)
    return Work(lambda: frozen.label(data), must, warm_up=2)
