"""RLDS episodes on disk: features, writer and reader.

One dataset holds one task and one source and lies in TFDS's own layout, in ArrayRecord:

    <root>/<task>_<source>_<size>px/1.0.0/

Its features are those of `schema.Layout`. Arrays are stored as raw bytes, so that neither
writing nor reading loads TensorFlow. This is the only module that knows TFDS.

A dataset is written beside its final place, see `files.folder_beside`: a killed or failed run
leaves the earlier dataset as it was.
"""

import abc
import contextlib
import errno
import importlib.util
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import shuffle

from glam_jax import files
from glam_jax.data.recording import Recording, check_episode, check_names, with_cameras
from glam_jax.errors import DataError
from glam_jax.schema import SCHEMA_VERSION, Episode, Layout

SPLITS = ("train", "heldout")
_INDEX_FILES = ("dataset_info.json", "features.json", "metadata.json")


def dataset_path(root: epath.PathLike, recording: Recording) -> epath.Path:
    """Folder of the files of a recording under the data root."""
    return files.path(root) / recording.name / SCHEMA_VERSION


# --- Features ---------------------------------------------------------------------------


def features(layout: Layout) -> tfds.features.FeaturesDict:
    """RLDS features of a source; no `action`, `proprio` without actions."""
    arrays = {
        name: tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")
        for name, (shape, dtype) in layout.step_arrays().items()
    }
    step = {name: arrays.pop(name) for name in ("action",) if name in arrays}
    step |= {
        "observation": arrays,
        "is_first": np.bool_,
        "is_last": np.bool_,
        "is_terminal": np.bool_,
        "reward": np.float32,
        "discount": np.float32,
        "language_instruction": tfds.features.Text(),
    }
    metadata = {
        "task": tfds.features.Text(),
        "source": tfds.features.Text(),
        "seed": np.int64,
        "success": np.bool_,
        "simulator_version": tfds.features.Text(),
        "schema_version": tfds.features.Text(),
    }
    return tfds.features.FeaturesDict(
        {"steps": tfds.features.Dataset(step), "episode_metadata": metadata}
    )


def _example(episode: Episode) -> dict:
    """The nested RLDS example of an episode; reward 1 on the last step of a success."""
    last = len(episode) - 1
    steps = []
    for t in range(len(episode)):
        observation = {name: array[t] for name, array in episode.steps.items()}
        step = {name: observation.pop(name) for name in ("action",) if name in observation}
        ends = t == last and episode.success
        step |= {
            "observation": observation,
            "is_first": t == 0,
            "is_last": t == last,
            "is_terminal": ends,
            "reward": float(ends),
            "discount": 1.0 - float(ends),
            "language_instruction": episode.instruction,
        }
        steps.append(step)
    fields = ("task", "source", "seed", "success", "simulator_version")
    metadata = {name: getattr(episode, name) for name in fields}
    return {"steps": steps, "episode_metadata": metadata | {"schema_version": SCHEMA_VERSION}}


# --- Writing ----------------------------------------------------------------------------


class EpisodeBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """TFDS builder of episodes; a subclass says what is recorded and gives the episodes.

    `recording` is read before `episodes` runs, and must need no simulation.
    """

    VERSION = tfds.core.Version(SCHEMA_VERSION)

    def __init__(self, *, file_format: str | None = None, **kwargs):
        super().__init__(file_format=file_format or "array_record", **kwargs)

    @property
    @abc.abstractmethod
    def recording(self) -> Recording:
        """Task, source and layout of the episodes."""

    @abc.abstractmethod
    def episodes(self) -> Mapping[str, Iterable[Episode]]:
        """Split name -> episodes in order."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Demonstrations of one task by one source; RLDS episodes.",
            features=features(self.recording.layout),
            metadata=tfds.core.MetadataDict(self.recording.metadata),
            disable_shuffling=True,  # episodes stay in the order of their seeds
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {
            split: self._generate_examples(split, episodes)
            for split, episodes in self.episodes().items()
        }

    def _generate_examples(self, split, episodes):
        for i, episode in enumerate(episodes):
            check_episode(episode, self.recording, f"{self.name}, {split} episode {i}")
            yield i, _example(episode)


class _GivenEpisodes(EpisodeBuilder, skip_registration=True):
    """Builder of episodes that the caller holds or makes on the way."""

    def __init__(self, recording: Recording, episodes, data_dir: epath.Path):
        self.name = recording.name
        self._recording = recording
        self._episodes = episodes
        super().__init__(data_dir=data_dir)

    @property
    def recording(self) -> Recording:
        return self._recording

    def episodes(self):
        return self._episodes


@contextlib.contextmanager
def _in_memory() -> Iterator[None]:
    """Without TensorFlow, whose file system TFDS sorts more than 1 GB of episodes by, it is to keep
    them in memory until they are written. They come in order: nothing is there to sort."""
    before = shuffle.MAX_MEM_BUFFER_SIZE
    if importlib.util.find_spec("tensorflow") is None:
        shuffle.MAX_MEM_BUFFER_SIZE = sys.maxsize
    try:
        yield
    finally:
        shuffle.MAX_MEM_BUFFER_SIZE = before


def write(
    root: epath.PathLike, recording: Recording, episodes: Mapping[str, Iterable[Episode]]
) -> epath.Path:
    """Writes a dataset, whole or not at all, in place of an earlier one.

    Args:
      root: the data root.
      recording: what the dataset holds.
      episodes: split name -> episodes, read once, in order; may be generators, also over
        the dataset that is being replaced.

    Returns:
      The folder of the dataset's files.

    Raises:
      DataError: for an episode that does not fit the recording, or an empty split.
      OSError: when the disk is full or not writable. The earlier dataset stays as it was.
    """
    final = dataset_path(root, recording)
    inside = f"{recording.name}/{SCHEMA_VERSION}"  # where TFDS puts it
    tfds.disable_progress_bar()
    try:
        with files.folder_beside(final, inside) as writing:
            builder = _GivenEpisodes(recording, episodes, writing)
            # TFDS prints that it downloads.
            with contextlib.redirect_stdout(io.StringIO()), _in_memory():
                builder.download_and_prepare()
            if empty := [s for s in episodes if not builder.info.splits[s].num_examples]:
                raise DataError(f"{final}: splits {empty} have no episodes")
            for split in episodes:  # what the disk holds must be readable before it replaces
                last(writing / inside, split, recording)
            files.mark(writing / inside)
    except Exception as error:
        if not files.find(final.parent):
            files.remove(final.parent)
        if (code := _disk_errno(error)) is None:
            raise
        free = files.free_bytes(root) / 2**20
        raise OSError(
            code,
            f"{os.strerror(code)} while writing {final} ({free:.0f} MiB free); "
            "what was there is as it was before",
        ) from error
    return final


def _disk_errno(error: BaseException | None) -> int | None:
    """The file system's error behind an exception, if any.

    TFDS raises it inside its own types, and ArrayRecord knows it as text only.
    """
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
    while error is not None:
        for code in codes:
            if not isinstance(error, DataError) and os.strerror(code) in str(error):
                return code
        error = error.__cause__
    return None


# --- Reading ----------------------------------------------------------------------------


def read(
    directory: epath.PathLike, split: str, recording: Recording, limit: int | None = None
) -> list[Episode]:
    """Reads episodes of a split in the order in which they were written.

    Args:
      directory: folder of the dataset's files (`dataset_path`).
      split: "train" or "heldout".
      recording: the task, source and layout that the dataset must have.
      limit: number of episodes wanted, the first ones; all of them if None.

    Raises:
      DataError: for a folder that is missing or half-written, another schema version, task,
        source or image size, keys that are missing or not allowed, fewer episodes than
        asked, and for every episode that `check_episode` refuses.
    """
    return list(stream(directory, split, recording, limit))


def stream(
    directory: epath.PathLike, split: str, recording: Recording, limit: int | None = None
) -> Iterator[Episode]:
    """As `read`, one episode at a time."""
    directory = files.path(directory)
    splits = _open(directory, recording).info.splits
    found = splits[split].num_examples if split in splits else 0
    wanted = found if limit is None else limit
    if found < max(wanted, 1):
        raise DataError(
            f"{directory}: split {split!r} has {found} episodes, expected at least {wanted}"
        )
    yield from _sound(each(directory, split, recording, range(wanted)))


def _sound(found: Iterator[Episode | DataError]) -> Iterator[Episode]:
    for one in found:
        if isinstance(one, DataError):
            raise one
        yield one


def each(
    directory: epath.PathLike, split: str, recording: Recording, indices: Iterable[int]
) -> Iterator[Episode | DataError]:
    """The episodes of these numbers, or in the place of each what is wrong with it."""
    builder = _open(files.path(directory), recording)
    # The arrays of a whole episode are joined from raw bytes at once: several times faster
    # than letting TFDS decode step by step.
    raw = {"steps": tfds.decode.SkipDecoding()}
    source = None
    for i in indices:
        place = f"{directory}, {split} episode {i}"
        try:
            source = source or builder.as_data_source(split=split, decoders=raw)
            example = source[i]
            if example["episode_metadata"]["seed"] is None:  # a shard cut short reads as empty
                raise EOFError("the record is empty")
        except Exception as error:  # ArrayRecord's errors have no common type
            yield DataError(f"{place}: damaged or half-written ({error})")
            continue
        try:
            yield _episode(example, recording, place)
        except DataError as error:
            yield error


def count(directory: epath.PathLike, recording: Recording) -> dict[str, int]:
    """Split name -> number of episodes; zeros if the folder does not exist.

    Raises:
      DataError: as `read`, for what the folder says of itself.
    """
    directory = files.path(directory)
    if not directory.exists():
        return dict.fromkeys(SPLITS, 0)
    splits = _open(directory, recording).info.splits
    return {s: splits[s].num_examples if s in splits else 0 for s in SPLITS}


def last(directory: epath.PathLike, split: str, recording: Recording) -> Episode | None:
    """The last episode of a split, None if there is none; raises as `read`."""
    number = count(directory, recording)[split]
    return next(_sound(each(directory, split, recording, [number - 1]))) if number else None


def _open(directory: epath.Path, recording: Recording):
    """The read-only TFDS builder of a folder, after its own description was checked."""
    if not (directory.is_dir() or files.is_whole(directory)):
        described = files.find(directory.parent, "*/dataset_info.json")
        versions = [file.parent.name for file in described]
        found = f"versions {versions}" if versions else "nothing"
        if kept := files.earlier(directory):
            found = f"an earlier copy in {kept}, which the next collecting restores"
        raise DataError(f"{directory}: no such folder, expected a dataset, found {found}")
    here = files.local_folder(directory)
    if missing := [name for name in _INDEX_FILES if not (here / name).is_file()]:
        raise DataError(f"{directory}: half-written or not a dataset of ours, {missing} missing")
    try:
        builder = tfds.builder_from_directory(here)
        found = with_cameras(dict(builder.info.metadata))
    except Exception as error:  # whatever a damaged description makes TFDS raise
        raise DataError(f"{directory}: the dataset's description is damaged ({error})") from error
    for key, expected in recording.metadata.items():
        if found.get(key) != expected:
            raise DataError(f"{directory}: {key} is {found.get(key)!r}, expected {expected!r}")
    expected = features(recording.layout)["steps"].feature
    step = builder.info.features["steps"].feature
    check_names(_stored_names(step), _stored_names(expected), str(directory))
    return builder


def _stored_names(step) -> set[str]:
    return set(step["observation"]) | ({"action"} & set(step))


def _episode(example: dict, recording: Recording, place: str) -> Episode:
    """The checked episode of a stored example, whose arrays are still bytes per step."""
    metadata, steps = example["episode_metadata"], example["steps"]
    raw = steps["observation"] | {name: steps[name] for name in ("action",) if name in steps}
    arrays = {}
    for name, (shape, dtype) in recording.layout.step_arrays().items():
        flat = np.frombuffer(bytearray(b"".join(raw[name])), dtype)
        expected = len(raw[name]) * int(np.prod(shape))
        if flat.size != expected:
            raise DataError(f"{place}, key {name!r}: {flat.size} values, expected {expected}")
        arrays[name] = flat.reshape(len(raw[name]), *shape)
    task, source, version = (metadata[k].decode() for k in ("task", "source", "simulator_version"))
    cameras = recording.cameras
    if version.startswith("recorded, "):  # earlier conversions wrote the cameras behind it
        version, cameras = version.split(", ", 1)
    seed, success = int(metadata["seed"]), bool(metadata["success"])
    instruction = steps["language_instruction"][0].decode()
    episode = Episode(arrays, task, source, seed, success, version, cameras, instruction)
    check_episode(episode, recording, place)
    return episode
