"""Relabelling: the frozen world model gives every transition of a store its latent."""

import functools
from collections.abc import Iterator

from ml_collections import ConfigDict

from glam_jax.benchmark import cost, samples, training
from glam_jax.benchmark.case import SCALES, Case, Sizes, Work
from glam_jax.data import feeds
from glam_jax.stages import inputs, pretrain
from glam_jax.stages.world_model import LABEL_BATCH, WorldModel, build


def cases(sizes: Sizes) -> Iterator[Case]:
    """Relabelling at each scale that has a batch size; its own batch is fixed."""
    for scale in (scale for scale in SCALES if sizes.batches[scale]):
        config = training.config_of(scale, "pretrain", sizes.batches[scale][0])
        transitions = 2 * samples.EPISODES * (training.FRAMES - 1)
        name = f"relabel/{scale}"
        yield Case(name, "transition", transitions, functools.partial(_work, config))


def _work(config: ConfigDict) -> Work:
    data, stats = samples.store(config.image_size, training.FRAMES)
    model, modality = build(config, data.layout), config.world_model.modality
    init = functools.partial(pretrain.init_params, model, data.layout, config.seed)
    params = samples.params(init)
    world_model = WorldModel(model, params, stats)
    batch = next(feeds.transition_batches(data, LABEL_BATCH, modality))

    def label(params, batch):
        return model.apply(params, inputs.windows(batch, stats), method="label")

    calls = -(-len(data.transition_frames()) // LABEL_BATCH)
    must = cost.count(label, params, batch)
    must = cost.Cost(must.flops * calls, must.bytes * calls, must.at_least)
    return Work(lambda: world_model.label(data), must, warm_up=2)
