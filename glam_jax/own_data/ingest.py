"""One foreign dataset becomes one of the project's own."""

import json
from collections.abc import Iterator

from absl import logging
from etils import epath
from tqdm import tqdm

from glam_jax import files
from glam_jax.data import dataset
from glam_jax.data.recording import Recording, with_cameras
from glam_jax.display import contact_sheet
from glam_jax.errors import DataError
from glam_jax.own_data import convert, frame_files, key_map, masks, readers
from glam_jax.schema import Episode

_WARNINGS = 20  # that are printed


def recording_of(task: str, source: str, keys: key_map.KeyMap, aim: convert.Aim) -> Recording:
    """What the converted dataset of a source holds, and what it was made from."""
    about = {
        "rate_hz": aim.rate_hz,
        "action_kind": aim.action_kind,
        "arm_proprio": aim.layout.arm_proprio,
        "arm_action": aim.layout.arm_action,
        "made_from": keys.stored_form(),
    }
    about = json.loads(json.dumps(about))  # as it is read back
    return Recording(task, source, aim.layout_of(keys), about, keys.cameras)


def ingest(
    root: epath.PathLike,
    task: str,
    source: str,
    keys: key_map.KeyMap,
    aim: convert.Aim,
    count: int | None,
    heldout: int | None,
) -> dict:
    """Makes sure that the converted dataset of a source holds what is wanted of it.

    It is converted again, whole, if its key map or the wanted form has changed, or if more
    episodes are wanted than it holds.

    Args:
      root: the data root. task, source: names of the converted dataset.
      keys: where everything is in the foreign dataset. aim: what it becomes.
      count: training episodes, the first ones of `keys.split`; None takes all.
      heldout: held-out episodes, the last ones of `keys.heldout_split`, or of `keys.split`; None
        takes all of `keys.heldout_split`.

    Returns:
      A report: `source`, `dataset` (folder), `episodes` (split -> number), `converted` (whether
      this call did), and if it made masks, `masks`: a table of what became of the objects.

    Raises:
      DataError: the foreign dataset is missing, too small, or not what the key map says; names
        the file, key, episode and step. Or an object has no mask in any training episode.
    """
    recording = recording_of(task, source, keys, aim)
    folder = dataset.dataset_path(root, recording)
    if count is None or heldout is None:
        count, heldout = _all(keys, count, heldout)
    stale = _is_stale(folder, recording)
    found = {} if stale else dataset.count(folder, recording)
    converted = stale or found["train"] < count or found["heldout"] != heldout
    tally = masks.Tally(keys.rate_hz)
    if converted:
        parts = episodes_of(keys, count, heldout)
        for split, first, number in parts.values():
            frame_files.check_masks(keys.mask_folder, split, range(first, first + number))
        made = {
            split: _episodes(recording, keys, aim, *part, f"{source} {split}", tally)
            for split, part in parts.items()
            if part[-1]
        }
        dataset.write(root, recording, made)
        shown = dataset.read(folder, "train", recording, min(count, 3))
        contact_sheet.save(shown, folder.parent / "contact_sheet.png")
        _warn(source, tally.warnings)
    report = {
        "source": source,
        "dataset": str(folder),
        "episodes": dataset.count(folder, recording),
        "converted": converted,
    }
    header, *rows = tally.rows()
    return report | ({"masks": [dict(zip(header, r, strict=True)) for r in rows]} if rows else {})


def _warn(source: str, warnings: list[str]) -> None:
    for text in warnings[:_WARNINGS]:
        logging.warning("%s %s", source, text)
    if (more := len(warnings) - _WARNINGS) > 0:
        logging.warning("%s: %d more; glam_jax.own_data masks shows the masks", source, more)


def _is_stale(folder: epath.Path, recording: Recording) -> bool:
    """Whether a converted dataset was made from another key map; a new one takes its place."""
    stored = folder / "metadata.json"
    if not stored.is_file():
        return False
    found = with_cameras(files.read_json(stored))
    return "made_from" in found and found != recording.metadata


def _all(keys: key_map.KeyMap, count: int | None, heldout: int | None) -> tuple[int, int]:
    """`count` and `heldout`, with None replaced by what the foreign dataset has."""
    lengths, apart = readers.open_reader(keys).lengths, keys.heldout_split
    if heldout is None:
        heldout = lengths[apart] if apart else 0
    if count is None:
        count = lengths[keys.split] - (heldout if apart in ("", keys.split) else 0)
    return max(count, 1), heldout


def episodes_of(keys: key_map.KeyMap, count: int, heldout: int) -> dict[str, tuple[str, int, int]]:
    """Which episodes of a foreign dataset are used.

    Args:
      keys: of the dataset. count, heldout: episodes for training and kept apart.

    Returns:
      Split, "train" or "heldout" -> (foreign split, first episode, number of episodes).

    Raises:
      DataError: the foreign dataset has fewer episodes.
    """
    reader = readers.open_reader(keys)
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
    recording: Recording,
    keys: key_map.KeyMap,
    aim: convert.Aim,
    split: str,
    first: int,
    count: int,
    name: str,
    tally: masks.Tally,
) -> Iterator[Episode]:
    """Converted episodes of a foreign split; a wrong one ends it, named.

    What became of their masks is noted in `tally`, which must have seen all objects at the end.
    """
    reader = readers.open_reader(keys)
    raw = reader.episodes(split, first, count)
    bar = tqdm(raw, f"converting {name}", count, unit="episode")
    for index, (arrays, success) in enumerate(bar, start=first):
        place = f"{split} episode {index}"
        try:
            tally.note(place, masks.add(arrays, keys, split, index))
            steps = convert.convert(arrays, keys, aim)
        except ValueError as error:
            raise DataError(f"{reader.folder}, {place}: {error}") from error
        names = recording.task, recording.source
        yield Episode(steps, *names, index, success, "recorded", recording.cameras)
    tally.refuse_unseen(str(reader.folder))
