"""Episodes in a zarr replay buffer, as UMI writes it; the only module that uses zarr.

`data/NAME` holds an array of all steps of all episodes, `meta/episode_ends` the number of steps up
to the end of each episode; a folder `.zarr`, or the same in one file `.zarr.zip`. A key is the name
below `data`, such as `camera0_rgb`.
"""

from collections.abc import Iterator

import numpy as np

from glam_jax import files
from glam_jax.errors import DataError, first_line
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.raw_episode import Facts, RawEpisode, as_text

try:
    import zarr
except ImportError as error:
    raise DataError("zarr files need zarr: pip install -e '.[zarr]'") from error

_SPLIT = "train"
_ENDS = "meta/episode_ends"


class Reader:
    """A replay buffer that is open for reading; see `readers.Reader`."""

    def __init__(self, keys: KeyMap):
        """Opens the buffer and checks the key map against its arrays.

        Raises:
          DataError: no replay buffer there, or a key or split that it does not have.
        """
        self._keys, self.folder = keys, files.path(keys.path)
        self.lossy: frozenset[str] = frozenset()
        try:
            register_codecs()
            store = str(self.folder)
            if store.endswith(".zip"):
                store = zarr.storage.ZipStore(store, mode="r")
            root = zarr.open_group(store, mode="r")
            self._ends = np.asarray(root[_ENDS][:], np.int64)
            self._arrays = dict(root["data"].arrays())
        except Exception as error:  # zarr's errors share no type
            raise DataError(
                f"{self.folder}: not readable as a replay buffer with data and {_ENDS} "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error
        if not len(self._ends) or (np.diff(self._ends, prepend=0) < 1).any():
            raise DataError(
                f"{self.folder}: {_ENDS} must rise from above 0, found {self._ends[:9]}"
            )
        self.lengths = {_SPLIT: len(self._ends)}
        keys.check_found(self.folder, self.lengths, self._arrays, self._arrays)
        for key, array in self._arrays.items():
            if array.shape[0] < self._ends[-1]:
                raise DataError(
                    f"{self.folder}: {key} has {array.shape[0]} steps, expected {self._ends[-1]} "
                    f"by {_ENDS}"
                )
        self.shapes = {
            key: (tuple(self._arrays[key].shape[1:]), np.dtype(self._arrays[key].dtype).name)
            for key in keys.uses()
        }

    def _range(self, index: int) -> range:
        start = int(self._ends[index - 1]) if index else 0
        return range(start, int(self._ends[index]))

    def facts(self, split: str, index: int) -> Facts:
        """Reads the array of success and instruction, if there are any."""
        steps = self._range(index)
        success, text = True, ""
        if key := self._keys.success:
            success = bool(np.any(self._read(key, steps.start, steps.stop, index)))
        if key := self._keys.text:
            text = as_text(self._read(key, steps.start, steps.start + 1, index))
        return Facts(len(steps), success, text)

    def episode(self, split: str, index: int) -> RawEpisode:
        """One episode, whose pictures are read a block of stored steps at a time."""
        about = self.facts(split, index)
        return RawEpisode(index, self._steps(index), about.success, about.text)

    def _steps(self, index: int) -> Iterator[dict[str, np.ndarray]]:
        steps, arrays = self._range(index), {k: self._arrays[k] for k in self._keys.uses()}
        blocks: dict[str, tuple[range, np.ndarray]] = {}
        for step in steps:
            found = {}
            for key, array in arrays.items():
                if key not in blocks or step not in blocks[key][0]:
                    # As many steps as are compressed together: each is decompressed once.
                    stop = min(step - step % array.chunks[0] + array.chunks[0], steps.stop)
                    blocks[key] = range(step, stop), self._read(key, step, stop, index)
                found[key] = blocks[key][1][step - blocks[key][0].start]
            yield found

    def _read(self, key: str, start: int, stop: int, index: int) -> np.ndarray:
        try:
            return np.asarray(self._arrays[key][start:stop])
        except Exception as error:  # of any codec
            raise DataError(
                f"{self.folder}, episode {index}, {key}: not readable ({type(error).__name__}: "
                f"{error})"
            ) from error


def register_codecs() -> None:
    """Makes the codecs of pictures known to zarr, JPEG XL of UMI's files among them, where the
    package `imagecodecs` is installed."""
    try:
        from imagecodecs.numcodecs import register_codecs as register
    except ImportError:
        return
    register(verbose=False)
