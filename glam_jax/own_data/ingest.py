"""One foreign dataset becomes one of the project's own."""

import dataclasses
import json
from collections.abc import Iterable, Iterator

from absl import logging
from etils import epath
from tqdm import tqdm

from glam_jax import files
from glam_jax.data import dataset
from glam_jax.data.recording import Recording, with_cameras
from glam_jax.display import contact_sheet
from glam_jax.errors import DataError
from glam_jax.own_data import choose, convert, frame_files, key_map, masks, readers
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
      count: training episodes, the first ones that are used of `keys.split`; None takes all.
      heldout: held-out episodes, the last ones of `keys.heldout_split`, or of `keys.split`; None
        takes all of `keys.heldout_split`.

    Returns:
      A report: `source`, `dataset` (folder), `episodes` (split -> number), `converted` (whether
      this call did), and if it did, `left_out` (reason -> number of episodes that are not used),
      `skipped` (bad episodes, with `on_bad="skip"`), and `masks`, if it made them: a table of what
      became of the objects.

    Raises:
      DataError: the foreign dataset is missing, too small, or not what the key map says; names
        the file, key, episode and step. Or an object has no mask in any training episode.
    """
    recording = recording_of(task, source, keys, aim)
    folder = dataset.dataset_path(root, recording)
    stale = _is_stale(folder, recording)
    found = dataset.count(folder, recording) if not stale else {"train": 0, "heldout": 0}
    enough = count is not None and heldout is not None
    report = {"source": source, "dataset": str(folder)}
    if not stale and enough and found["train"] >= count and found["heldout"] == heldout:
        return report | {"episodes": found, "converted": False}
    conversion = _Conversion(keys, aim, recording)
    made = conversion.splits(count, heldout)
    shapes = {key: [list(shape), kind] for key, (shape, kind) in conversion.reader.shapes.items()}
    described = dataclasses.replace(recording, about=recording.about | {"stored": shapes})
    dataset.write(root, described, made)
    shown = dataset.read(folder, "train", recording, min(conversion.train_count, 3))
    contact_sheet.save(shown, folder.parent / "contact_sheet.png")
    conversion.warn()
    return report | {
        "episodes": dataset.count(folder, recording),
        "converted": True,
        **conversion.report(),
    }


class _Conversion:
    """What is done to one foreign dataset, and what became of its episodes."""

    def __init__(self, keys: key_map.KeyMap, aim: convert.Aim, recording: Recording):
        self.reader = readers.open_reader(keys)
        self._keys, self._recording = keys, recording
        self._converter = convert.Converter(keys, aim)
        self._tally, self._left_out, self._skipped = masks.Tally(keys.rate_hz), {}, []

    def splits(self, count: int | None, heldout: int | None) -> dict[str, Iterable[Episode]]:
        """Split -> its episodes, converted on the way, of the splits that are wanted."""
        plan = choose.Plan(self.reader, self._keys, count, heldout)
        self._left_out, self.train_count = plan.left_out, plan.train_count
        for split, indices in plan.wanted():
            frame_files.check_masks(self._keys.mask_folder, split, indices)
        return {
            "train": self._train(plan),
            **({"heldout": self._converted(*plan.heldout())} if plan.heldout_count else {}),
        }

    def _train(self, plan: choose.Plan) -> Iterator[Episode]:
        yield from self._converted(*plan.train())
        self._tally.refuse_unseen(str(self.reader.folder))

    def _converted(self, split: str, indices: Iterable[int], count: int) -> Iterator[Episode]:
        """So many converted episodes, of those of these numbers that can be used."""
        keys, recording, good = self._keys, self._recording, 0
        bar = tqdm(desc=f"converting {recording.source} {split}", total=count, unit="episode")
        with bar:
            for index in indices:
                place = f"{split} episode {index}"
                try:
                    raw = self.reader.episode(split, index)
                    views = masks.ViewMasks(keys, split, index, self.reader.lossy)
                    steps, tracks = self._converter.episode(raw, views)
                except ValueError as error:
                    self._refuse(place, error)
                    continue
                self._tally.note(place, tracks)
                names = recording.task, recording.source
                yield Episode(
                    steps, *names, index, raw.success, "recorded", recording.cameras, raw.text
                )
                good += 1
                bar.update()
                if good == count:
                    return
        raise DataError(
            f"{self.reader.folder}, split {split!r}: {good} episodes can be used, {count} are "
            f"wanted; {len(self._skipped)} were bad and skipped"
        )

    def _refuse(self, place: str, error: ValueError) -> None:
        text = str(error)
        whole = text if place in text else f"{self.reader.folder}, {place}: {text}"
        if self._keys.on_bad != key_map.SKIP:
            raise DataError(f'{whole}; on_bad="skip" leaves such episodes out') from error
        self._skipped.append(whole)

    def warn(self) -> None:
        """Prints what was left out, and what a person should look at."""
        name = self._recording.source
        if self._left_out:
            logging.warning("%s: left out %s", name, choose.describe(self._left_out))
        for text in self._skipped:
            logging.warning("%s skipped %s", name, text)
        warnings = self._tally.warnings
        for text in warnings[:_WARNINGS]:
            logging.warning("%s %s", name, text)
        if (more := len(warnings) - _WARNINGS) > 0:
            logging.warning("%s: %d more; glam_jax.own_data masks shows the masks", name, more)

    def report(self) -> dict:
        """See `ingest`."""
        header, *rows = self._tally.rows()
        table = [dict(zip(header, row, strict=True)) for row in rows]
        return {
            "left_out": self._left_out,
            "skipped": self._skipped,
            **({"masks": table} if table else {}),
        }


def _is_stale(folder: epath.Path, recording: Recording) -> bool:
    """Whether a converted dataset was made from another key map; a new one takes its place."""
    stored = folder / "metadata.json"
    if not stored.is_file():
        return False
    found = with_cameras(files.read_json(stored))
    found.pop("stored", None)
    return "made_from" in found and found != recording.metadata
