"""Rows of one array that arrive bit by bit: in memory, or in a file that is read by index."""

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Iterator

import numpy as np

# So many rows at least, because data that differ little in size share a compiled program.
FEWEST_ROWS = 1024


class FileRows:
    """Rows of an array in a temporary file without a name, which goes with the process.

    Reading copies what is asked for and maps nothing: memory does not grow with the array.

    Attributes:
      shape, dtype, nbytes: of the whole array, as numpy's.
    """

    def __init__(self, file, shape: tuple[int, ...], dtype: np.dtype):
        self._file, self.shape, self.dtype = file, shape, np.dtype(dtype)
        self._row_bytes = math.prod(shape[1:]) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self._row_bytes

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, index: np.ndarray, axis: int = 0) -> np.ndarray:
        """The rows of whole numbers of any shape, in that shape; as numpy's, along axis 0 alone.

        Raises:
          IndexError: for a row that there is not. OSError: the file cannot be read.
        """
        flat = np.ravel(index)
        if flat.size and not 0 <= flat.min() <= flat.max() < len(self):
            raise IndexError(f"rows {flat.min()} to {flat.max()} of an array of {len(self)}")
        found = np.empty((flat.size, *self.shape[1:]), self.dtype)
        for row, number in zip(found, flat.tolist(), strict=True):
            read = os.preadv(self._file.fileno(), [row], number * self._row_bytes)
            if read != self._row_bytes:
                raise OSError(f"row {number}: read {read} of {self._row_bytes} bytes")
        return found.reshape(*np.shape(index), *self.shape[1:])


class Growing:
    """Rows of an array, added block by block: in memory that grows without a second copy of it, or,
    from `spill` on, in a file in the folder for temporary files, which TMPDIR names."""

    def __init__(self, shape: tuple[int, ...], dtype):
        self._row_shape, self._dtype = shape, np.dtype(dtype)
        self._row_bytes = math.prod(shape) * self._dtype.itemsize
        self._memory, self._rows, self._file = _anonymous(self._row_bytes), 0, None

    @property
    def held_bytes(self) -> int:
        """Bytes in memory."""
        return 0 if self._file else self._rows * self._row_bytes

    def add(self, block: np.ndarray) -> None:
        """Adds rows (n, ...).

        Raises:
          ValueError: rows of another shape. OSError: no room in the folder for temporary files.
        """
        if block.shape[1:] != self._row_shape:
            raise ValueError(f"found rows of shape {block.shape[1:]}, expected {self._row_shape}")
        rows = self._rows + len(block)
        if self._file:
            self._write(np.ascontiguousarray(block, self._dtype))
        else:
            if rows * self._row_bytes > len(self._memory):
                # What is not touched costs nothing.
                self._memory = _resized(self._memory, 2 * rows * self._row_bytes)
            self._held(rows)[self._rows :] = block
        self._rows = rows

    def spill(self) -> None:
        """Moves the rows to the file, which all later ones follow; raises as `add`."""
        with _explained():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, closed with the rows
        self._write(self._held(self._rows))
        self._memory = None

    def finish(self) -> np.ndarray | FileRows:
        """All rows; in memory they are followed by zeros up to `padded`, and aligned so that JAX on
        CPU takes them without a copy."""
        if self._file:
            return FileRows(self._file, (self._rows, *self._row_shape), self._dtype)
        rows = padded(self._rows)
        self._memory = _resized(self._memory, rows * self._row_bytes)
        return self._held(rows)

    def _held(self, rows: int) -> np.ndarray:
        count = rows * math.prod(self._row_shape)
        return np.frombuffer(self._memory, self._dtype, count).reshape(rows, *self._row_shape)

    def _write(self, rows: np.ndarray) -> None:
        with _explained():
            self._file.write(rows.reshape(-1).view(np.uint8).data)
            self._file.flush()  # here, so that a full disk is met where it is explained


def padded(rows: int) -> int:
    """The number of rows of arrays that hold so many: one of few, so that data that differ little
    in size share a compiled program. At most an eighth more, and at least `FEWEST_ROWS`."""
    grid = 1 << max(0, (rows - 1).bit_length() - 4)
    return max(FEWEST_ROWS, -(-rows // grid) * grid)


def zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    """As numpy's, aligned so that JAX on CPU takes it without a copy."""
    count = math.prod(shape)
    memory = _anonymous(count * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def _anonymous(size: int) -> mmap.mmap:
    """Zeros, aligned to pages; memory that is not touched costs nothing."""
    return mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _resized(memory: mmap.mmap, size: int) -> mmap.mmap:
    try:
        memory.resize(size)  # its pages are moved, not copied
        return memory
    except SystemError:  # not on this system
        other, count = _anonymous(size), min(size, len(memory))
        np.frombuffer(other, np.uint8, count)[:] = np.frombuffer(memory, np.uint8, count)
        return other


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Adds to errors of writing which folder is too small."""
    try:
        yield
    except OSError as error:
        hint = f"frames are kept in {tempfile.gettempdir()}; TMPDIR names a folder with more room"
        raise OSError(error.errno, f"{error.strerror}: {hint}") from error
