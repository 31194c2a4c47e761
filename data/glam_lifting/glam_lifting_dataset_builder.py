"""Lifting demonstrations for `tfds build`, one builder config per source, all simulated:
`kinova_real` is a simulated stand-in for a real arm.

    cd data/glam_lifting && tfds build --config=kinova_64px --data_dir=/some/where

Other numbers of episodes or image sizes are other configs:

    tfds build --config='{"name": "umi_small", "source": "umi", "episodes": 20}'

The `tfds` command itself needs two packages that TFDS does not declare: apache-beam and
mlcroissant. `python -m glam_jax.collect` records the same episodes without it.
"""

import dataclasses
import functools
import tempfile

import tensorflow_datasets as tfds

from glam_jax.data import dataset
from glam_jax.data.recording import Recording
from glam_jax.demonstrations import simulated


@dataclasses.dataclass(eq=False)
class SourceConfig(tfds.core.BuilderConfig):
    """Who demonstrates and how often; `episodes` and `heldout` count successes."""

    source: str = "kinova"
    episodes: int = 100
    heldout: int = 20
    image_size: int = 64


class Builder(dataset.EpisodeBuilder):
    """Scripted demonstrations of the lifting task."""

    BUILDER_CONFIGS = [
        SourceConfig(name="kinova_64px", source="kinova", episodes=100),
        SourceConfig(name="kinova_real_64px", source="kinova_real", episodes=100),
        SourceConfig(name="umi_64px", source="umi", episodes=400),
    ]
    builder_config_cls = SourceConfig

    @functools.cached_property
    def recording(self) -> Recording:
        config = self.builder_config
        expert = simulated.scripted_expert("lifting", config.source, config.image_size)
        return Recording("lifting", config.source, expert.layout)

    def episodes(self):
        config = self.builder_config
        self._recorded = tempfile.TemporaryDirectory()  # lives until the builder is done
        report = simulated.collect(
            "lifting",
            config.source,
            config.episodes,
            config.heldout,
            config.image_size,
            self._recorded.name,
        )
        return {
            split: dataset.stream(report["dataset"], split, self.recording)
            for split, number in report["episodes"].items()
            if number
        }
