"""Own data in a run: foreign datasets become the project's own, once, and are read as those."""

from ml_collections import ConfigDict

from glam_jax.data.spec import Recording
from glam_jax.errors import DataError
from glam_jax.own_data import convert
from glam_jax.own_data import ingest as ingestion
from glam_jax.own_data import key_map as key_maps
from glam_jax.schema import Layout


def is_own(config: ConfigDict) -> bool:
    """Whether a run's data were recorded by someone, rather than simulated."""
    return "own" in config


def key_map(config: ConfigDict, source: str) -> key_maps.KeyMap:
    """The key map of a source; see `key_map.read` for what it raises."""
    known = config.own.sources
    if source not in known:
        raise DataError(f"unknown source {source!r}; known: {', '.join(sorted(known))}")
    return key_maps.read(source, known[source].to_dict(), config.own.arms)


def aim(config: ConfigDict) -> convert.Aim:
    """What all sources of the run are converted to."""
    own = config.own
    widths = {"arm_proprio": own.arm_proprio, "arm_action": own.arm_action}
    layout = Layout(own.arms, config.image_size, has_actions=True, **widths)
    return convert.Aim(layout, own.rate_hz, own.action_kind)


def recording_of(config: ConfigDict, source: str) -> Recording:
    """What the converted dataset of a source holds, and what it was made from."""
    return ingestion.recording_of(config.task, source, key_map(config, source), aim(config))


def sources(config: ConfigDict) -> dict[str, int]:
    """Source -> training episodes, the target first, then the others by name."""
    used = {s: n for s, n in sorted(config.data.auxiliary.items()) if n}
    return {config.data.target: config.data.target_episodes} | used


def targets(config: ConfigDict) -> list[str]:
    """The sources whose actions are learned, `data.target` first."""
    joined = [s for s in sources(config) if s in config.own.joins_target]
    return [config.data.target, *joined]


def episode_weights(config: ConfigDict, counts: dict[str, int]) -> list[float] | None:
    """How likely a window of each episode is, relative to others of its kind.

    Args:
      counts: source -> number of episodes, in the order of the store.

    Returns:
      One weight an episode; None if all are equal, and where sources are simulated.
    """
    if not is_own(config):
        return None
    weights = [key_map(config, s).weight for s, count in counts.items() for _ in range(count)]
    return weights if len(set(weights)) > 1 else None


def check_masks(config: ConfigDict) -> None:
    """Raises DataError where a method on masks has a source without any."""
    for source in sources(config):
        if config.world_model.modality == "mask" and not key_map(config, source).has_masks:
            raise DataError(
                f"own.sources.{source} has neither masks nor mask_colours nor mask_folder, but "
                f"method {config.method} needs masks; use method={config.method.removesuffix('_o')}"
            )


def ingest(config: ConfigDict, source: str, count: int, progress: bool = True) -> dict:
    """`ingest.ingest` of one source, `count` training episodes, as the config says."""
    check_masks(config)
    return ingestion.ingest(
        config.data.root,
        config.task,
        source,
        key_map(config, source),
        aim(config),
        count,
        config.data.heldout_episodes,
        progress,
    )
