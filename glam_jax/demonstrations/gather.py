"""The demonstrations of a run: which sources it learns from, recorded or converted, and read."""

import dataclasses
from collections.abc import Iterator

from ml_collections import ConfigDict

from glam_jax.data import dataset, normalize, spec
from glam_jax.data.store import Store
from glam_jax.demonstrations import recorded, simulated
from glam_jax.schema import Episode, Layout
from glam_jax.sim import env as simulation
from glam_jax.sim.robots import ROBOTS


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run learns from and is checked on.

    Attributes:
      store: training transitions of all sources. stats: their statistics.
      heldout: source -> episodes never trained on.
    """

    store: Store
    stats: normalize.Statistics
    heldout: dict[str, list[Episode]]

    def heldout_store(self, source: str) -> Store:
        return Store(self.heldout[source])


def layout_of(config: ConfigDict) -> Layout:
    """The arrays of the run's target source."""
    if recorded.is_own(config):
        return recorded.aim(config).layout
    return simulation.make_env(config.task, config.data.target, config.image_size).layout


def sources(config: ConfigDict) -> dict[str, int]:
    """Source -> training episodes, the target first, then the auxiliary ones by name.

    Raises:
      ValueError: a source that is not known, a target without robot actions, or one that is
        its own auxiliary source.
    """
    if recorded.is_own(config):
        return recorded.sources(config)
    target, auxiliary = config.data.target, config.data.auxiliary
    used = {source: auxiliary[source] for source in sorted(auxiliary) if auxiliary[source]}
    for source in (target, *auxiliary):
        if source not in ROBOTS:
            raise ValueError(f"unknown source {source!r}; known: {', '.join(sorted(ROBOTS))}")
    check_has_actions(target, "data.target")
    if target in used:
        raise ValueError(
            f"data.auxiliary.{target} is {used[target]}, but {target} is the target; "
            f"set it to 0, or ask for more in data.target_episodes"
        )
    return {target: config.data.target_episodes} | used


def check_has_actions(source: str, key: str) -> None:
    """Raises ValueError unless a source is a robot's that is commanded in joint targets."""
    able = sorted(name for name, robot in ROBOTS.items() if robot.has_actions)
    if source not in able:
        raise ValueError(f"{key} is {source!r}; expected one with actions: {', '.join(able)}")


def stream_split(config: ConfigDict, source: str, split: str, count: int) -> Iterator[Episode]:
    """Episodes of a source from the data root, one by one; raises as `dataset.read`."""
    if recorded.is_own(config):
        kind = recorded.recording_of(config, source)
    else:
        layout = simulation.make_env(config.task, source, config.image_size).layout
        kind = spec.Recording(config.task, source, layout)
    return dataset.stream(dataset.dataset_path(config.data.root, kind), split, kind, count)


def read_split(config: ConfigDict, source: str, split: str, count: int) -> list[Episode]:
    """As `stream_split`, all at once."""
    return list(stream_split(config, source, split, count))


def gather(config: ConfigDict) -> Data:
    """Records or converts what is missing of the data, and reads it.

    Raises:
      ValueError: see `sources`.
      DataError: see `simulated.collect`, `recorded.ingest` and `dataset.read`.
    """
    counts = sources(config)
    for source, count in counts.items():
        provide(config, source, count)
    heldout = read_heldout(config, config.data.heldout_episodes)
    of_target = recorded.targets(config) if recorded.is_own(config) else [config.data.target]
    others = [source for source in counts if source not in of_target]

    def train(names: list[str]) -> Iterator[Episode]:
        for source in names:
            yield from stream_split(config, source, "train", counts[source])

    order = {source: counts[source] for source in (*of_target, *others)}
    store = Store(
        train(of_target),
        train(others),
        weights=recorded.episode_weights(config, order),
        memory_bytes=config.data.resident_bytes,
    )
    return Data(store, normalize.statistics(store), heldout)


def provide(config: ConfigDict, source: str, count: int) -> None:
    """Records or converts what is missing of a source's `count` training episodes and of its
    held-out ones.

    Raises:
      See `simulated.collect` and `recorded.ingest`.
    """
    if recorded.is_own(config):
        recorded.ingest(config, source, count)
    else:
        simulated.collect(
            config.task,
            source,
            count,
            config.data.heldout_episodes,
            config.image_size,
            config.data.root,
        )


def read_heldout(config: ConfigDict, count: int) -> dict[str, list[Episode]]:
    """Source -> its first held-out episodes, the target first."""
    return {source: read_split(config, source, "heldout", count) for source in sources(config)}
