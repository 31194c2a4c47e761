"""Episodes in HDF5 files, as robomimic and ALOHA write them; the only module that uses h5py.

robomimic   one file: data/demo_0, data/demo_1, ...; mask/NAME lists the episodes of a split
ALOHA       a folder with one file an episode: episode_0.hdf5, episode_1.hdf5, ...

A key is the path of an array below the episode, `obs/agentview_image` or `observations/qpos`;
`success` and `text` may be attributes too. Pictures that are stored as encoded bytes are decoded.
"""

import contextlib
import re
from collections.abc import Iterator

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError, first_line
from glam_jax.own_data import images
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.raw_episode import Facts, RawEpisode, as_text

try:
    import h5py
except ImportError as error:
    raise DataError("HDF5 files need h5py: pip install -e '.[hdf5]'") from error

_ALL = "train"  # the split of all episodes, where the file names none


class Reader:
    """HDF5 files that are open for reading; see `readers.Reader`."""

    def __init__(self, keys: KeyMap):
        """Finds the episodes and checks the key map against the first one.

        Raises:
          DataError: no episodes there, or a key or split that they do not have.
        """
        self._keys, self.folder = keys, files.path(keys.path)
        self.lossy: frozenset[str] = frozenset()
        if self.folder.is_dir():
            found = [p for e in ("*.hdf5", "*.h5") for p in files.find(self.folder, e)]
            self._splits = {_ALL: [(path, "/") for path in sorted(found, key=_by_number)]}
        else:
            self._splits = self._groups()
        self.lengths = {name: len(episodes) for name, episodes in self._splits.items()}
        first = self._splits.get(keys.split) or next(iter(self._splits.values()))
        with self._group(*first[0]) as group:
            arrays = _arrays(group)
            keys.check_found(self.folder, self.lengths, arrays, {*arrays, *group.attrs})
            wanted = {key: arrays[key] for key in keys.uses()}
            encoded = {key for key, array in wanted.items() if _is_encoded(array)}
            self.shapes = {
                key: (images.decoded(_bytes(array[0]), key).shape, "uint8")
                if key in encoded
                else (tuple(array.shape[1:]), array.dtype.name)
                for key, array in wanted.items()
            }
            self.lossy = frozenset(key for key in encoded if _jpeg(wanted[key][0]))

    def _groups(self) -> dict[str, list[tuple[epath.Path, str]]]:
        """Split -> (file, group) of the episodes in robomimic's file."""
        with self._group(self.folder, "/") as file:
            if "data" not in file:
                raise DataError(
                    f"{self.folder}: no group 'data' as robomimic has, found {sorted(file)}; of "
                    "files with one episode each, path is their folder"
                )
            names = sorted(file["data"], key=lambda name: _by_number(epath.Path(name)))
            splits = {_ALL: names}
            for split, listed in file.get("mask", {}).items():
                splits[split] = [name.decode() for name in listed[()]]
        return {
            split: [(self.folder, f"data/{name}") for name in names]
            for split, names in splits.items()
        }

    @contextlib.contextmanager
    def _group(self, path: epath.Path, name: str) -> Iterator["h5py.Group"]:
        """A group of a file; raises DataError for what goes wrong with them inside."""
        try:
            with files.local(path) as at, h5py.File(at, "r") as file:
                yield file[name]
        except (OSError, KeyError, RuntimeError) as error:
            raise DataError(
                f"{path}, {name}: not readable as HDF5 ({first_line(error)})"
            ) from error

    def facts(self, split: str, index: int) -> Facts:
        """Reads the arrays of success and instruction."""
        with self._group(*self._splits[split][index]) as group:
            success, text = True, ""
            if key := self._keys.success:
                success = bool(np.any(group[key][()] if key in group else group.attrs[key]))
            if key := self._keys.text:
                text = as_text(group[key][()] if key in group else group.attrs[key])
            return Facts(len(group[next(iter(self._keys.uses()))]), success, text)

    def episode(self, split: str, index: int) -> RawEpisode:
        """One episode, whose steps are read one by one."""
        about = self.facts(split, index)
        return RawEpisode(
            index, self._steps(*self._splits[split][index]), about.success, about.text
        )

    def _steps(self, path: epath.Path, name: str) -> Iterator[dict[str, np.ndarray]]:
        with self._group(path, name) as group:
            arrays = {key: group[key] for key in self._keys.uses()}
            lengths = {key: len(array) for key, array in arrays.items()}
            if len(set(lengths.values())) > 1:
                raise DataError(f"{path}, {name}: arrays of unequal lengths, {lengths}")
            encoded = {key for key, array in arrays.items() if _is_encoded(array)}
            for step in range(max(lengths.values())):
                yield {
                    key: images.decoded(_bytes(array[step]), f"{path}, {name}, step {step}, {key}")
                    if key in encoded
                    else np.asarray(array[step])
                    for key, array in arrays.items()
                }


def _arrays(group: "h5py.Group") -> dict[str, "h5py.Dataset"]:
    """Path -> array, of all arrays below a group."""
    found = {}
    group.visititems(
        lambda path, item: found.update({path: item}) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _is_encoded(array: "h5py.Dataset") -> bool:
    """Whether each step holds the bytes of a picture's file, padded with zeros or of any length."""
    if h5py.check_vlen_dtype(array.dtype) is not None or array.dtype.kind == "S":
        return True
    flat = array.ndim == 2 and array.dtype == np.uint8 and array.shape[1] > 64
    return bool(flat and len(array) and _starts_picture(array[0].tobytes()))


def _starts_picture(data: bytes) -> bool:
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG"))


def _jpeg(stored) -> bool:
    return _bytes(stored).startswith(b"\xff\xd8\xff")


def _bytes(stored) -> bytes:
    return stored if isinstance(stored, bytes) else np.asarray(stored, np.uint8).tobytes()


def _by_number(path: epath.Path) -> tuple[int, str]:
    found = re.findall(r"\d+", path.name)
    return int(found[-1]) if found else -1, path.name
