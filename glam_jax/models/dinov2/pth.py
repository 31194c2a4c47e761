"""Arrays of a PyTorch checkpoint, read without PyTorch and without running what is in it.

A .pth file is a zip: `data.pkl` is a pickle of the dict of tensors, and each storage is an entry
of raw bytes. A pickle is a program that may name any callable of any module to be called. This
reader admits tensors only: four kinds of name are known (`_TensorsOnly.find_class`), each stands
for a function of this module or for a plain dict, and any other name ends the reading before
anything is called. So no class of the file's choice is ever imported, let alone run.
"""

import collections
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from glam_jax.models.dinov2.safetensors import TensorFileError

# Kinds of storage, by the class that the pickle names in the module `torch`.
STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LARGEST_INDEX = 1 << 24  # bytes of data.pkl; names and shapes alone, a few kB


class _Kind(NamedTuple):
    """Stands for a storage class: the numbers that it holds."""

    dtype: np.dtype


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of every tensor of a .pth file, which must hold a dict of tensors.

    Raises:
      FileNotFoundError: no such file.
      TensorFileError: damaged, of the format before PyTorch 1.6, or with anything but a dict of
        tensors in it; names what was found.
    """
    try:
        with zipfile.ZipFile(path) as file:
            found = _load(file, path)
    except zipfile.BadZipFile as error:
        raise TensorFileError(
            f"{path}: not a whole zip archive ({error}); expected what torch.save writes since "
            "PyTorch 1.6"
        ) from None
    if not isinstance(found, dict):
        raise TensorFileError(f"{path}: holds a {type(found).__name__}; expected a dict of tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise TensorFileError(
                f"{path}: {name!r} is a {type(value).__name__}; expected a tensor under a name"
            )
    return dict(found)


def _load(file: zipfile.ZipFile, path: str | Path) -> Any:
    indices = [name for name in file.namelist() if name.endswith("/data.pkl")]
    if len(indices) != 1:
        raise TensorFileError(f"{path}: {len(indices)} entries named data.pkl, expected 1")
    folder = indices[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in file.namelist() and file.read(order) != b"little":
        raise TensorFileError(f"{path}: not of little-endian byte order")
    size = file.getinfo(indices[0]).file_size
    if size > LARGEST_INDEX:
        raise TensorFileError(f"{path}: data.pkl has {size} bytes; expected names and shapes only")
    with file.open(indices[0]) as index:
        try:
            return _TensorsOnly(index, file, folder, path).load()
        except (TensorFileError, zipfile.BadZipFile):
            raise
        except Exception as error:  # a damaged pickle can end in nearly any exception
            raise TensorFileError(
                f"{path}: data.pkl cannot be read ({type(error).__name__}: {error})"
            ) from None


class _TensorsOnly(pickle.Unpickler):
    """An unpickler that knows tensors, their storages and ordered dicts, and nothing else."""

    def __init__(self, index, file: zipfile.ZipFile, folder: str, path: str | Path):
        super().__init__(index)
        self._file, self._folder, self._path = file, folder, path
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for; the pickle gets nothing callable but these."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch" and name in STORAGES:
            return _Kind(STORAGES[name])
        raise TensorFileError(
            f"{self._path}: names {module}.{name}, which is no tensor; refused, as reading it "
            "could run code of the file's choice. Only a dict of tensors is read (a state_dict)"
        )

    def persistent_load(self, saved: Any) -> np.ndarray:
        """A storage as a flat array; PyTorch refers to it by kind, entry, device and length."""
        word, kind, key, _, count = saved
        if word != "storage" or not isinstance(kind, _Kind) or not isinstance(key, str):
            raise TensorFileError(f"{self._path}: refers to {saved!r}; expected a storage")
        if key not in self._storages:
            self._storages[key] = self._storage(kind.dtype, key, count)
        return self._storages[key]

    def _storage(self, dtype: np.dtype, key: str, count: int) -> np.ndarray:
        name = f"{self._folder}data/{key}"
        try:
            entry = self._file.getinfo(name)
        except KeyError:
            raise TensorFileError(f"{self._path}: its entry {name} is missing") from None
        needed = count * dtype.itemsize
        if entry.file_size != needed or entry.compress_type != zipfile.ZIP_STORED:
            raise TensorFileError(
                f"{self._path}: entry {name} has {entry.file_size} bytes; "
                f"expected {needed}, not compressed"
            )
        return np.frombuffer(self._file.read(entry), dtype)

    def _tensor(self, storage, offset, shape, strides, *_) -> np.ndarray:
        """The view of a storage that a tensor is, copied; checked to lie inside of it."""
        numbers = (offset, *shape, *strides)
        fits = isinstance(storage, np.ndarray) and len(shape) == len(strides)
        fits = fits and all(isinstance(n, int) and n >= 0 for n in numbers)
        if fits and math.prod(shape):
            last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
            fits = last < storage.size
        if not fits:
            raise TensorFileError(
                f"{self._path}: a tensor of shape {shape}, strides {strides} and offset {offset} "
                "does not fit its storage"
            )
        steps = [step * storage.itemsize for step in strides]
        view = np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
        return view.copy()
