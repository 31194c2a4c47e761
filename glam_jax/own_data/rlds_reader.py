"""Episodes of any RLDS dataset in a local folder.

The only module that uses the rlds library, and with it TensorFlow; it loads neither before
a foreign dataset is read.
"""

import contextlib
import math
import sys
import types
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError, first_line
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.raw_episode import Facts, RawEpisode, as_text


class _Absent(types.ModuleType):
    """Stands for a package that is not there; its attributes are as empty as itself."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(name)


def _load_rlds():
    """The rlds library, on the CPU.

    It imports reverb, a replay server whose last release does not load with today's TensorFlow,
    for a pattern language that is not used here: a stand-in is put in its place.
    """
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # rlds uses what TensorFlow will rename
    tf.config.set_visible_devices([], "GPU")  # JAX needs the memory that it would take
    if "rlds" not in sys.modules and "reverb" not in sys.modules:
        sys.modules["reverb"] = _Absent("reverb")
        import rlds

        del sys.modules["reverb"]
    import rlds

    return rlds, tf


class Reader:
    """A foreign dataset that is open for reading; see `readers.Reader`."""

    def __init__(self, keys: KeyMap):
        """Opens the dataset and checks the key map against its description.

        Raises:
          DataError: no dataset there, or a key or split that it does not have; lists what it has.
        """
        self._keys = keys
        self.folder = _find(files.path(keys.path))
        try:
            self._builder = tfds.builder_from_directory(self.folder)
        except Exception as error:  # whatever a damaged description makes TFDS raise
            raise DataError(
                f"{self.folder}: not readable as a dataset ({first_line(error)})"
            ) from error
        self.lengths = {s: i.num_examples for s, i in self._builder.info.splits.items()}
        for split in {keys.split, keys.heldout_split or keys.split} - set(self.lengths):
            self._add_slice(split)
        features = self._builder.info.features
        if "steps" not in features:
            raise DataError(f"{self.folder}: no RLDS dataset, `steps` is not in {sorted(features)}")
        steps = _leaves(features["steps"].feature)
        self._of_steps, self._of_episode = set(steps), set(_leaves(features))
        about = self._of_steps | {key for key in self._of_episode if not key.startswith("steps")}
        keys.check_found(self.folder, self.lengths, steps, about)
        wanted = [key for key in keys.uses() if key in steps]
        self.shapes = {
            key: (steps[key].shape, np.dtype(steps[key].np_dtype).name) for key in wanted
        }
        self.lossy = frozenset(key for key in wanted if _is_jpeg(steps[key]))
        # (split, with pictures) -> the episode that is read next, and the open files.
        self._open: dict[tuple[str, bool], tuple[int, Sequence | Iterator]] = {}

    def _add_slice(self, split: str) -> None:
        """Makes a split such as `train[:50%]`, in TFDS's words, known by its length."""
        if "[" in split:
            try:
                self.lengths[split] = self._builder.info.splits[split].num_examples
            except Exception as error:  # TFDS's own, of several types
                raise DataError(
                    f"{self.folder}: no split {split!r} ({first_line(error)})"
                ) from error

    def facts(self, split: str, index: int) -> Facts:
        """Reads an episode without its steps' pictures."""
        with self._naming(split, index):
            example = self._example(split, index, pictures=False)
            steps = len(next(iter(_flat(example["steps"]).values())))
            return Facts(steps, *self._about(example))

    def episode(self, split: str, index: int) -> RawEpisode:
        """One episode, as `readers.Reader`; in order, files are read on where they were."""
        with self._naming(split, index) as place:
            example = self._example(split, index, pictures=True)
            success, text = self._about(example)
        return RawEpisode(index, self._steps(example["steps"], place), success, text)

    @contextlib.contextmanager
    def _naming(self, split: str, index: int) -> Iterator[str]:
        """What to call an episode; raises DataError for whatever goes wrong with it inside."""
        place = f"{self.folder}, {split} episode {index}"
        try:
            yield place
        except Exception as error:  # TensorFlow's and ArrayRecord's errors share no type
            self._open.clear()
            raise DataError(f"{place}: damaged or empty ({first_line(error)})") from error

    def _example(self, split: str, index: int, pictures: bool) -> Mapping:
        """A raw episode; without pictures its steps are as they are stored."""
        at, examples = self._open.get((split, pictures), (math.inf, None))
        if isinstance(examples, Sequence):  # of ArrayRecord
            return examples[index]
        if at > index:
            at, examples = 0, self._examples(split, pictures)
            self._open[split, pictures] = at, examples
            return self._example(split, index, pictures)
        for _ in range(at, index):
            next(examples)
        example = next(examples)
        self._open[split, pictures] = index + 1, examples
        return example

    def _examples(self, split: str, pictures: bool) -> Sequence | Iterator:
        """All episodes of a split in the order of the files, or a way to any of them."""
        decoders = None if pictures else {"steps": tfds.decode.SkipDecoding()}
        if self._builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
            return self._builder.as_data_source(split=split, decoders=decoders)
        _load_rlds()
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        return iter(
            self._builder.as_dataset(
                split=split, shuffle_files=False, read_config=in_order, decoders=decoders
            )
        )

    def _about(self, example: Mapping) -> tuple[bool, str]:
        """Success and instruction; of a key of steps, in the last and in the first one."""
        success, text = True, ""
        if key := self._keys.success:
            success = bool(np.asarray(self._of(example, key, -1)))
        if key := self._keys.text:
            text = as_text(np.asarray(self._of(example, key, 0)))
        return success, text

    def _of(self, example: Mapping, key: str, step: int):
        if key in self._of_episode:
            return _at(example, key)
        steps = example["steps"]
        if isinstance(steps, Mapping):  # as they are stored
            return _at(steps, key)[step]
        found = None
        for one in steps:
            found = _at(one, key)
            if step == 0:
                break
        return found

    def _steps(self, steps, place: str) -> Iterator[Mapping[str, np.ndarray]]:
        """The wanted arrays of one step after the other, up to the one that is last."""
        rlds, tf = _load_rlds()
        wanted = list(self._keys.uses())
        try:
            if not isinstance(steps, tf.data.Dataset):  # one by one, from ArrayRecord
                for step in steps:
                    yield {key: np.asarray(_at(step, key)) for key in wanted}
                    if bool(np.asarray(step.get(rlds.IS_LAST, False))):
                        return
                return
            if rlds.IS_LAST in steps.element_spec:
                steps = rlds.transformations.truncate_after_condition(
                    steps, lambda step: step[rlds.IS_LAST]
                )
            steps = rlds.transformations.map_steps(
                steps, lambda step: {key: _at(step, key) for key in wanted}, 1
            )
            yield from steps.as_numpy_iterator()
        except Exception as error:  # TensorFlow's and ArrayRecord's errors share no type
            raise DataError(f"{place}: damaged or empty ({first_line(error)})") from error


def _find(path: epath.Path) -> epath.Path:
    """The folder that holds the dataset's description: the one given, or the last one below."""
    if (path / "dataset_info.json").is_file():
        return path
    patterns = ("*/dataset_info.json", "*/*/dataset_info.json")
    below = next(filter(None, (files.find(path, pattern) for pattern in patterns)), None)
    if not below:
        raise DataError(
            f"{path}: no dataset there, expected dataset_info.json and features.json of RLDS, a "
            "LeRobot dataset's meta/info.json, HDF5 files or a .zarr"
        )
    return below[-1].parent


def _leaves(feature, prefix: str = "") -> dict:
    """Path -> feature of the arrays of a nested feature."""
    if not isinstance(feature, tfds.features.FeaturesDict):
        return {prefix: feature}
    return {
        path: leaf
        for name, inner in feature.items()
        for path, leaf in _leaves(inner, f"{prefix}/{name}" if prefix else name).items()
    }


def _is_jpeg(feature) -> bool:
    return getattr(feature, "_encoding_format", "") == "jpeg"


def _flat(nested, prefix: str = "") -> dict:
    if not isinstance(nested, Mapping):
        return {prefix: nested}
    return {p: v for name, inner in nested.items() for p, v in _flat(inner, name).items()}


def _at(nested: Mapping, path: str):
    for name in path.split("/"):
        nested = nested[name]
    return nested
