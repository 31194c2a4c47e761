"""Rows of one array that arrive bit by bit: in memory, or past a size in a file read by index."""

import os
import tempfile

import numpy as np

FEWEST_ROWS = 1024


class FileRows:
    """Rows of an array in a temporary file without a name, which goes with the process.

    Reading copies what is asked for and maps nothing: memory does not grow with the array.

    Attributes:
      shape, dtype, nbytes: of the whole array, as numpy's.
    """

    def __init__(self, file, shape: tuple[int, ...], dtype: np.dtype):
        self._file, self.shape, self.dtype = file, shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize

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
    """Blocks of rows, added one after the other and joined in the end.

    Args:
      most_bytes: of memory; what is more goes to a file in the folder for temporary files, which
        TMPDIR names. None: never.
    """

    def __init__(self, shape: tuple[int, ...], dtype, most_bytes: int | None = None):
        self._row_shape, self._dtype, self._most_bytes = shape, np.dtype(dtype), most_bytes
        self._blocks, self._held_bytes, self._rows, self._file = [], 0, 0, None

    def add(self, block: np.ndarray) -> None:
        """Adds rows (n, ...), which the caller must not change afterwards.

        Raises:
          ValueError: rows of another shape. OSError: no room in the folder for temporary files.
        """
        if block.shape[1:] != self._row_shape:
            raise ValueError(f"found rows of shape {block.shape[1:]}, expected {self._row_shape}")
        self._blocks.append(np.ascontiguousarray(block, self._dtype))
        self._held_bytes += block.nbytes
        self._rows += len(block)
        if self._most_bytes is not None and self._held_bytes > self._most_bytes:
            self._spill()

    def finish(self) -> np.ndarray | FileRows:
        """All rows, in memory followed by zeros up to `padded`; an array's memory is aligned so
        that JAX on CPU takes it without a copy."""
        if self._file is not None:
            return FileRows(self._file, (self._rows, *self._row_shape), self._dtype)
        joined = _zeros((padded(self._rows), *self._row_shape), self._dtype)
        if self._blocks:
            np.concatenate(self._blocks, out=joined[: self._rows])
        self._blocks.clear()
        return joined

    def _spill(self) -> None:
        """Writes the blocks to the file, which all later ones follow."""
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115, closed with the rows
            for block in self._blocks:
                self._file.write(block.data)
            self._file.flush()  # here, so that a full disk is met where it is explained
        except OSError as error:
            folder = tempfile.gettempdir()
            hint = f"frames are kept in {folder}; TMPDIR names a folder with more room"
            raise OSError(error.errno, f"{error.strerror}: {hint}") from error
        self._blocks.clear()


def padded(rows: int) -> int:
    """The number of rows of arrays that hold so many: one of few, so that data that differ little
    in size share a compiled program. At most an eighth more, and at least `FEWEST_ROWS`."""
    grid = 1 << max(0, (rows - 1).bit_length() - 4)
    return max(FEWEST_ROWS, -(-rows // grid) * grid)


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 64, np.uint8)  # memory that is not touched costs nothing
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size].view(dtype).reshape(shape)
