"""Episodes of any RLDS dataset in a local folder, as arrays of the keys that are wanted.

The only module that uses the rlds library, and with it TensorFlow; it loads neither before
a foreign dataset is read.
"""

import sys
import types
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data.key_map import KeyMap

_BATCH = 16  # steps that rlds shifts at a time


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
    """A foreign dataset that is open for reading.

    Attributes:
      folder: of its files. lengths: split -> number of episodes.
    """

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
            raise DataError(f"{self.folder}: not readable as a dataset ({error})") from error
        self.lengths = {s: i.num_examples for s, i in self._builder.info.splits.items()}
        features = self._builder.info.features
        if "steps" not in features:
            raise DataError(f"{self.folder}: no RLDS dataset, `steps` is not in {sorted(features)}")
        about_episode = {key for key in _leaves(features) if not key.startswith("steps")}
        keys.check_found(
            self.folder, self.lengths, _leaves(features["steps"].feature), about_episode
        )

    def episodes(self, split: str, first: int, count: int) -> Iterator[tuple[dict, bool]]:
        """Episodes `first` to `first + count` of a split, in the order of the files.

        Yields:
          ({role: arrays (T, ...), one per key}, success). With alignment "ars" an episode is one
          step shorter, each action now with the state that it was given in.

        Raises:
          DataError: an episode cannot be read; names it.
        """
        rlds, tf = _load_rlds()
        examples = self._examples(split, first, count)
        for index in range(first, first + count):
            try:
                example = next(examples)
                steps = self._steps(example[rlds.STEPS], rlds, tf)
                rows = list(steps.as_numpy_iterator())
                arrays = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
                success = _at(example, self._keys.success) if self._keys.success else True
            except Exception as error:  # TensorFlow's and ArrayRecord's errors share no type
                place = f"{self.folder}, {split} episode {index}"
                raise DataError(f"{place}: damaged or empty ({error})") from error
            yield self._by_role(arrays), bool(np.asarray(success))

    def _examples(self, split: str, first: int, count: int) -> Iterator[Mapping]:
        """Raw episodes; TFDS reads ArrayRecord one way and TFRecord the other."""
        if self._builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
            source = self._builder.as_data_source(split=split)
            yield from (source[i] for i in range(first, first + count))
            return
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        yield from self._builder.as_dataset(
            split=f"{split}[{first}:{first + count}]",
            shuffle_files=False,
            read_config=in_order,
        )

    def _steps(self, steps, rlds, tf):
        """The dataset of one episode's wanted arrays, {role/number: array} a step."""
        if not isinstance(steps, tf.data.Dataset):
            if not isinstance(steps, Mapping):  # one by one, from ArrayRecord
                steps = tf.nest.map_structure(lambda *leaf: np.stack(leaf), *list(steps))
            steps = tf.data.Dataset.from_tensor_slices(steps)
        if rlds.IS_LAST in steps.element_spec:
            steps = rlds.transformations.truncate_after_condition(
                steps, lambda step: step[rlds.IS_LAST]
            )
        wanted = {
            f"{role}/{i}": selector
            for role, selectors in self._keys.selectors().items()
            for i, selector in enumerate(selectors)
        }
        steps = rlds.transformations.map_steps(
            steps, lambda step: {k: _at(step, s.path) for k, s in wanted.items()}, 1
        )
        if self._keys.alignment == "ars":
            moved = [key for key in wanted if key.startswith(f"{rlds.ACTION}/")]
            steps = rlds.transformations.shift_keys(steps, moved, 1, _BATCH)
        return steps

    def _by_role(self, arrays: Mapping) -> dict[str, list[np.ndarray]]:
        return {
            role: [selector.pick(arrays[f"{role}/{i}"]) for i, selector in enumerate(selectors)]
            for role, selectors in self._keys.selectors().items()
        }


def _find(path: epath.Path) -> epath.Path:
    """The folder that holds the dataset's description: the one given, or the last one below."""
    if (path / "dataset_info.json").is_file():
        return path
    patterns = ("*/dataset_info.json", "*/*/dataset_info.json")
    below = next(filter(None, (files.find(path, pattern) for pattern in patterns)), None)
    if not below:
        raise DataError(
            f"{path}: no dataset there, expected dataset_info.json and features.json, or a LeRobot "
            "dataset's meta/info.json"
        )
    return below[-1].parent


def _leaves(feature, prefix: str = "") -> set[str]:
    """Paths of the arrays of a nested feature."""
    if not isinstance(feature, tfds.features.FeaturesDict):
        return {prefix}
    return {
        leaf
        for name, inner in feature.items()
        for leaf in _leaves(inner, f"{prefix}/{name}" if prefix else name)
    }


def _at(nested: Mapping, path: str):
    for name in path.split("/"):
        nested = nested[name]
    return nested
