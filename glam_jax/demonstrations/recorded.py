"""Sources that someone recorded: foreign datasets become the project's own, once."""

import dataclasses
import functools
from collections.abc import Collection

from ml_collections import ConfigDict

from glam_jax.data import dataset
from glam_jax.data.recording import Recording, describe
from glam_jax.demonstrations.source import Source
from glam_jax.errors import ConfigError, DataError
from glam_jax.own_data import config as own_config
from glam_jax.own_data import ingest
from glam_jax.own_data.convert import Aim
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.key_map import read as read_key_map
from glam_jax.schema import Layout


class RecordedSource(Source):
    """A source of `config.own`; see configs/own_data.py."""

    simulated = False

    def __init__(self, config: ConfigDict, name: str):
        super().__init__(config, name)
        self.is_target |= name in config.own.joins_target

    @classmethod
    def known(cls, config: ConfigDict) -> Collection[str]:
        return config.own.sources.keys()  # all that have a key map

    @classmethod
    def used(cls, config: ConfigDict) -> list[Source]:
        own_config.check(config)  # flags may have changed what its file said
        return super().used(config)

    @functools.cached_property
    def keys(self) -> KeyMap:
        """Where everything is in the foreign dataset; see `key_map.read` for what it raises."""
        own = self.config.own
        return read_key_map(self.name, own.sources[self.name].to_dict(), own.arms)

    @property
    def aim(self) -> Aim:
        """What all sources of the run are converted to."""
        own = self.config.own
        widths = {"arm_proprio": own.arm_proprio, "arm_action": own.arm_action}
        views = tuple(self.keys.views)
        layout = Layout(own.arms, self.config.image_size, has_actions=True, views=views, **widths)
        return Aim(layout, own.rate_hz, own.action_kind)

    @property
    def recording(self) -> Recording:
        """What the converted dataset holds, and what it was made from."""
        return ingest.recording_of(self.config.task, self.name, self.keys, self.aim)

    @property
    def control_hz(self) -> float:
        return self.config.own.rate_hz

    @property
    def action_kind(self) -> str:
        return self.config.own.action_kind

    @property
    def weight(self) -> float:
        return self.keys.weight

    @property
    def stored(self) -> dict[str, list]:
        folder = dataset.dataset_path(self.config.data.root, self.recording)
        return describe(folder).about["stored"]

    def check(self) -> None:
        """As of every source; DataError where the method needs masks or poses that it lacks."""
        super().check()
        if self.config.world_model.modality == "mask" and not self.keys.has_masks:
            method = self.config.method
            raise DataError(
                f"own.sources.{self.name} has neither masks nor mask_colours nor mask_folder, but "
                f"method {method} needs masks; use method={method.removesuffix('_o')}"
            )

        if self.keys.has_pose:
            return
        if self.config.method != "mip":
            raise DataError(
                f"own.sources.{self.name} has no end-effector pose: give position and rotation, or "
                "robot_file and joints, or use method=mip"
            )
        if self.config.policy.proprio != "joints":
            raise DataError(
                f"own.sources.{self.name} has no end-effector pose; use "
                "--config.policy.proprio=joints"
            )

    @property
    def layout(self) -> Layout:
        """As `Source.layout`; a source must have the views of the target that the run uses."""
        wanted = tuple(self.config.data.get("views", ())) or tuple(
            RecordedSource(self.config, self.config.data.target).keys.views
        )
        if missing := sorted(set(wanted) - set(self.keys.views)):
            raise ConfigError(
                f"source {self.name} has no view {', '.join(missing)}; it has "
                f"{', '.join(self.keys.views)}. data.views names those that all sources have"
            )
        return self.recording.layout.seen_from(wanted)

    def provide(self) -> dict:
        self.check()
        data = self.config.data
        return self.convert(data.root, self.episodes, data.heldout_episodes)

    def convert(self, root, count: int | None, heldout: int | None, path: str = "") -> dict:
        """Converts so many episodes into a data root; see `ingest.ingest`.

        Args:
          path: of the foreign dataset; default: the key map's.
        """
        keys = dataclasses.replace(self.keys, path=path) if path else self.keys
        return ingest.ingest(root, self.config.task, self.name, keys, self.aim, count, heldout)

    def make_env(self, robot: str = ""):
        raise DataError(
            f"task {self.config.task} was learned from own data; there is no simulation of it"
        )
