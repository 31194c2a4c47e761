"""The demonstrations of a run: which sources it learns from, provided and read."""

import dataclasses
from collections.abc import Collection, Iterator

from ml_collections import ConfigDict

from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.demonstrations.recorded import RecordedSource
from glam_jax.demonstrations.simulated import SimulatedSource
from glam_jax.demonstrations.source import Source
from glam_jax.errors import DataError
from glam_jax.schema import Episode


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run learns from and is checked on.

    Attributes:
      store: training transitions of all sources. stats: their statistics.
      heldout: source -> episodes never trained on, the target's first.
    """

    store: Store
    stats: normalize.Statistics
    heldout: dict[str, list[Episode]]

    def heldout_store(self, source: str) -> Store:
        return Store(self.heldout[source])


def sources(config: ConfigDict) -> list[Source]:
    """The sources that a run uses: the target first, then the others by name.

    Raises:
      UserError: a source that is not known, or that cannot be what the config makes it.
    """
    return _kind(config).used(config)


def target(config: ConfigDict) -> Source:
    """The source whose robot the policy is for; raises as `sources`."""
    return sources(config)[0]


def source(config: ConfigDict, name: str) -> Source:
    """A known source, whether the run uses it or not.

    Raises:
      UserError: it is not known; lists the known ones.
    """
    return _kind(config)(config, name)


def known(config: ConfigDict) -> Collection[str]:
    """Names of the sources that a run of the config may use."""
    return _kind(config).known(config)


def check(config: ConfigDict) -> list[Source]:
    """The sources that a run uses, checked as far as can be without reading any data.

    Raises:
      UserError: see `sources` and `Source.check`; sources before other cameras than the target's.
    """
    used = sources(config)
    for one in used:
        one.check()
        for key in ("views", "cameras"):
            found, expected = (_cameras(source)[key] for source in (one, used[0]))
            if found != expected:
                raise DataError(
                    f"source {one.name}: {key} is {found!r}, expected {expected!r} as in source "
                    f"{used[0].name}"
                )
    return used


def _cameras(source: Source) -> dict:
    return {"views": source.layout.views, "cameras": source.recording.cameras}


def check_lengths(config: ConfigDict, data: Data) -> None:
    """Checks that the episodes are long enough for the windows and chunks of a run.

    Raises:
      DataError: a training episode is shorter than a window, or all held-out ones of the target
        than a chunk; says what would fit.
    """
    window, chunk = config.pretrain.window, config.policy.chunk
    shortest = int(data.store.lengths.min())
    if config.method != "mip" and shortest < window:
        raise DataError(
            f"pretrain.window is {window}, but a training episode has {shortest} frames; expected "
            f"at most {shortest}"
        )
    longest = max(map(len, data.heldout[config.data.target])) - 1
    if longest < chunk:
        raise DataError(
            f"policy.chunk is {chunk}, but the longest held-out episode of {config.data.target} "
            f"has {longest} transitions; expected at most {longest}"
        )


def _kind(config: ConfigDict) -> type[Source]:
    return RecordedSource if "own" in config else SimulatedSource


def gather(config: ConfigDict) -> Data:
    """Provides what is missing of the data, and reads it.

    Raises:
      UserError: see `check`, `Source.provide`, `dataset.read` and `check_lengths`.
    """
    used = check(config)
    for one in used:
        one.provide()
    heldout = {one.name: one.read("heldout") for one in used}
    # A store takes the target's episodes, then the others'.
    targets, others = ([one for one in used if one.is_target is yes] for yes in (True, False))

    def train(of: list[Source]) -> Iterator[Episode]:
        for one in of:
            yield from one.stream("train")

    store = Store(
        train(targets),
        train(others),
        weights=_episode_weights(targets + others),
        memory_bytes=max(0, config.data.resident_bytes - _held(heldout, used[0].name)),
    )
    data = Data(store, normalize.statistics(store), heldout)
    check_lengths(config, data)
    return data


def _held(heldout: dict[str, list[Episode]], target: str) -> int:
    """Bytes of the held-out episodes, of which the target's are in a store too."""
    sizes = {
        name: sum(array.nbytes for episode in episodes for array in episode.steps.values())
        for name, episodes in heldout.items()
    }
    return sum(sizes.values()) + sizes[target]


def _episode_weights(used: list[Source]) -> list[float] | None:
    """How likely a window of each episode is, relative to others of its kind; None if all are."""
    weights = [one.weight for one in used for _ in range(one.episodes)]
    return weights if len(set(weights)) > 1 else None
