"""A source of demonstrations: one interface for what is simulated and what was recorded."""

import abc
from collections.abc import Collection, Iterator
from typing import ClassVar

from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.data import dataset
from glam_jax.data.recording import Recording
from glam_jax.demonstrations.breakage import BREAKAGES
from glam_jax.errors import ConfigError
from glam_jax.schema import Episode, Layout


class Source(abc.ABC):
    """Who demonstrates in a run, and how its episodes come.

    Attributes:
      config: of the run. name: in the config, in folder names and in episodes.
      episodes: training episodes that the run uses.
      is_target: whether the run learns its actions.
      simulated: whether its robot is simulated here, so that `make_env` has a world.
    """

    simulated: ClassVar[bool]
    # What runs used whose config had no `data.views` yet; () for all that the data have.
    earlier_views: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ConfigDict, name: str):
        """A source that the config knows, whether the run uses it or not.

        Raises:
          ConfigError: it is not known; lists the known ones.
        """
        if name not in (known := self.known(config)):
            raise ConfigError(f"unknown source {name!r}; known: {', '.join(sorted(known))}")
        self.config, self.name, data = config, name, config.data
        self.is_target = name == data.target
        self.episodes = data.target_episodes if self.is_target else data.auxiliary.get(name, 0)

    @classmethod
    @abc.abstractmethod
    def known(cls, config: ConfigDict) -> Collection[str]:
        """The names that sources of a config may have."""

    @classmethod
    def used(cls, config: ConfigDict) -> list["Source"]:
        """The sources of a run: the target first, then the others by name.

        Raises:
          ConfigError: a source that is not known, or that cannot be what the config makes it.
        """
        auxiliary = sorted(name for name, count in config.data.auxiliary.items() if count)
        return [cls(config, name) for name in (config.data.target, *auxiliary)]

    @property
    def broken(self) -> str:
        """What is done to its episodes on purpose; "" for nothing, as to the target's always."""
        return "" if self.is_target else self.config.data.get("broken", "")

    @property
    def title(self) -> str:
        """What a person should read."""
        return schema.title(self.name)

    @property
    def layout(self) -> Layout:
        """What its arrays look like in the run, which uses the views of `data.views`.

        Raises:
          ConfigError: the data lack one of them; lists what they have.
        """
        whole = self.recording.layout
        views = tuple(self.config.data.get("views", self.earlier_views)) or whole.views
        if missing := sorted(set(views) - set(whole.views)):
            raise ConfigError(
                f"data.views names {', '.join(missing)}; source {self.name} has: "
                f"{', '.join(whole.views)}"
            )
        return whole.seen_from(views)

    @property
    @abc.abstractmethod
    def recording(self) -> Recording:
        """What its dataset holds.

        Raises:
          UserError: the config does not describe the source rightly.
        """

    @property
    @abc.abstractmethod
    def control_hz(self) -> float:
        """Steps, and actions, per second."""

    @property
    @abc.abstractmethod
    def action_kind(self) -> str:
        """What an action is, one of `schema.ACTION_KINDS`."""

    @property
    def weight(self) -> float:
        """How likely a window of it is drawn, relative to other sources of its kind."""
        return 1.0

    @property
    def stored(self) -> dict[str, list]:
        """Key -> [shape, dtype] of what it recorded, once it is provided; {} in simulation."""
        return {}

    @property
    def breakages(self) -> tuple[str, ...]:
        """What `data.broken` may be for the source, beside ""."""
        return tuple(BREAKAGES)

    def check(self) -> None:
        """Raises UserError where the run cannot learn from the source; see `layout`."""
        broken = self.config.data.get("broken", "")
        if broken not in ("", *self.breakages):
            raise ConfigError(
                f"data.broken is {broken!r}; expected one of {', '.join(self.breakages)}"
            )
        self.layout  # noqa: B018, raises

    @abc.abstractmethod
    def provide(self) -> dict:
        """Makes sure that its dataset holds the training and held-out episodes that the run uses.

        Returns a report to print. Raises UserError where they cannot be had.
        """

    @abc.abstractmethod
    def make_env(self, robot: str = ""):
        """The simulated world of the run's task with a robot, by default the source's own.

        Raises:
          DataError: the source was recorded elsewhere, and its robot is not simulated here.
        """

    def stream(self, split: str, count: int | None = None) -> Iterator[Episode]:
        """The first episodes of "train" or "heldout", one by one, seen from the views that the run
        uses; by default as many as it uses. Raises as `dataset.read`."""
        if count is None:
            heldout = self.config.data.heldout_episodes
            count = {"train": self.episodes, "heldout": heldout}[split]
        folder = dataset.dataset_path(self.config.data.root, self.recording)
        change = BREAKAGES.get(self.broken, lambda episode: episode)
        for episode in dataset.stream(folder, split, self.recording, count):
            yield change(episode.seen_from(self.layout.views))

    def read(self, split: str, count: int | None = None) -> list[Episode]:
        """As `stream`, all at once."""
        return list(self.stream(split, count))
