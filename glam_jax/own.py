"""Own data in a run: foreign datasets become the project's own, once, and are read as those."""

import json
import shutil
from collections.abc import Iterator

from ml_collections import ConfigDict
from tqdm import tqdm

from glam_jax import contact_sheet
from glam_jax import episodes as dataset
from glam_jax.foreign import convert, keymap
from glam_jax.recording import DataError, Recording
from glam_jax.schema import Episode, Layout


def is_own(config: ConfigDict) -> bool:
    """Whether a run's data were recorded by someone, rather than simulated."""
    return "own" in config


def key_map(config: ConfigDict, source: str) -> keymap.KeyMap:
    """The key map of a source; see `keymap.read` for what it raises."""
    known = config.own.sources
    if source not in known:
        raise DataError(f"unknown source {source!r}; known: {', '.join(sorted(known))}")
    return keymap.read(source, known[source].to_dict(), config.own.arms)


def aim(config: ConfigDict) -> convert.Aim:
    """What all sources of the run are converted to."""
    own = config.own
    widths = {"arm_proprio": own.arm_proprio, "arm_action": own.arm_action}
    layout = Layout(own.arms, config.image_size, has_actions=True, **widths)
    return convert.Aim(layout, own.rate_hz, own.action_kind)


def recording_of(config: ConfigDict, source: str) -> Recording:
    """What the converted dataset of a source holds, and what it was made from."""
    keys, wanted = key_map(config, source), aim(config)
    about = {
        "rate_hz": wanted.rate_hz,
        "action_kind": wanted.action_kind,
        "arm_proprio": wanted.layout.arm_proprio,
        "arm_action": wanted.layout.arm_action,
        "made_from": keys.stored_form(),
    }
    about = json.loads(json.dumps(about))  # as it is read back
    return Recording(config.task, source, wanted.layout_of(keys), about)


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
        if config.world_model.modality == "mask" and not any(
            key_map(config, source).masks.values()
        ):
            raise DataError(
                f"own.sources.{source}.masks is empty, but method {config.method} needs masks; "
                f"use method={config.method.removesuffix('_o')}"
            )


def ingest(config: ConfigDict, source: str, count: int, progress: bool = True) -> dict:
    """Makes sure that the converted dataset of a source holds what is wanted of it.

    It is converted again, whole, if its key map or the wanted form has changed, or if more
    episodes are wanted than it holds.

    Returns:
      A report: `source`, `dataset` (folder), `episodes` (split -> number), `converted` (whether
      this call did).

    Raises:
      DataError: the foreign dataset is missing, too small, or not what the key map says; names
        the file, key, episode and step.
    """
    check_masks(config)
    recording, heldout = recording_of(config, source), config.data.heldout_episodes
    folder = dataset.dataset_path(config.data.root, recording)
    _forget_if_changed(folder, recording)
    found = dataset.count(folder, recording)
    converted = found["train"] < count or found["heldout"] != heldout
    if converted:
        keys = key_map(config, source)
        parts = _parts(keys, count, heldout)
        made = {
            split: _episodes(config, source, keys, *part, f"{source} {split}", progress)
            for split, part in parts.items()
        }
        dataset.write(config.data.root, recording, made)
        shown = dataset.read(folder, "train", recording, min(count, 3))
        contact_sheet.save(shown, folder.parent / "contact_sheet.png")
    return {
        "source": source,
        "dataset": str(folder),
        "episodes": dataset.count(folder, recording),
        "converted": converted,
    }


def _forget_if_changed(folder, recording: Recording) -> None:
    """Removes a converted dataset that was made from another key map; it can be made again."""
    stored = folder / "metadata.json"
    if stored.is_file():
        found = json.loads(stored.read_text())
        if "made_from" in found and found != recording.metadata:
            shutil.rmtree(folder)


def _parts(keys: keymap.KeyMap, count: int, heldout: int) -> dict[str, tuple[str, int, int]]:
    """Split -> (foreign split, first episode, number of episodes).

    Raises:
      DataError: the foreign dataset has fewer episodes.
    """
    from glam_jax.foreign.rlds_reader import Reader

    reader = Reader(keys)
    held_from = keys.heldout_split or keys.split
    needed = {keys.split: count} | {held_from: heldout}
    if held_from == keys.split:
        needed = {keys.split: count + heldout}
    for split, number in needed.items():
        if reader.lengths[split] < number:
            raise DataError(
                f"{reader.folder}: split {split!r} has {reader.lengths[split]} episodes, "
                f"{number} are wanted ({count} for training, {heldout} held out)"
            )
    return {
        "train": (keys.split, 0, count),
        "heldout": (held_from, reader.lengths[held_from] - heldout, heldout),
    }


def _episodes(
    config, source: str, keys, split: str, first: int, count: int, name: str, progress: bool
) -> Iterator[Episode]:
    """Converted episodes of a foreign split; a wrong one ends it, named."""
    from glam_jax.foreign.rlds_reader import Reader

    reader, wanted = Reader(keys), aim(config)
    raw = reader.episodes(split, first, count)
    bar = tqdm(raw, f"converting {name}", count, unit="episode", disable=not progress)
    for index, (arrays, success) in enumerate(bar, start=first):
        try:
            steps = convert.convert(arrays, keys, wanted)
        except ValueError as error:
            place = f"{reader.folder}, {split} episode {index}"
            raise DataError(f"{place}: {error}") from error
        version = f"recorded, {keys.cameras}"
        yield Episode(steps, config.task, source, index, success, version)
