"""Parquet files as numpy arrays by column; the only module that uses pyarrow.

Values of a column are numbers (T,) or (T, n), or lists: of pictures as encoded
bytes, of texts, and of whatever has gaps or several lengths. Nothing is unpickled.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError, first_line

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise DataError("Parquet needs pyarrow: pip install -e '.[lerobot]'") from error

# How pictures lie in a column: encoded, with a name that nobody needs.
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# --- Reading ----------------------------------------------------------------------------


def read(
    path: epath.Path,
    needed: Iterable[str],
    episode: int | None = None,
    more: Callable[[str], bool] | None = None,
) -> dict[str, np.ndarray | list]:
    """Columns of a file, in the order of its rows.

    Args:
      path: the file. needed: columns.
      episode: only rows whose `episode_index` is this; all rows if None.
      more: whether a column is read too, by its name; none is if None.

    Raises:
      DataError: the file is missing or damaged, or a needed column is missing; names it.
    """
    only = None if episode is None else [("episode_index", "==", episode)]
    try:
        with files.local(path) as at:
            file = pq.ParquetDataset(at, filters=only, partitioning=None)
            known = file.schema.names
            wanted = list(dict.fromkeys([*needed, *(n for n in known if more and more(n))]))
            if missing := [name for name in wanted if name not in known]:
                raise DataError(f"{path}: no column {missing[0]!r}, found {', '.join(known)}")
            table = file.read(wanted)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not readable as Parquet ({first_line(error)})") from error
    place = str(path) if episode is None else f"{path}, episode {episode}"
    return {name: _values(table.column(name), f"{place}, column {name!r}") for name in wanted}


def _values(column: "pa.ChunkedArray", place: str) -> np.ndarray | list:
    """One column; see the module."""
    if pa.types.is_struct(column.type):
        found = [row and row.get("bytes") for row in column.to_pylist()]
        if not all(isinstance(row, bytes) for row in found):
            raise DataError(f"{place}: rows without a picture's bytes")
        return found
    flat = column.combine_chunks()
    rows = (flat.storage if isinstance(flat, pa.ExtensionArray) else flat).to_pylist()
    try:
        values = np.array(rows)
    except ValueError:  # of several lengths
        return rows
    if values.dtype.kind not in "biuf":  # texts, or gaps
        return rows
    return values if values.ndim == 1 else values.reshape(len(rows), -1)


# --- Writing ----------------------------------------------------------------------------


def table(columns: Mapping[str, np.ndarray | list]) -> "pa.Table":
    """Columns as `read` gives them: (T, n) as lists of n, lists of bytes as pictures."""
    return pa.table({name: _array(values) for name, values in columns.items()})


def _array(values: np.ndarray | list) -> "pa.Array":
    if isinstance(values, list):
        if values and isinstance(values[0], bytes):
            return pa.array([{"bytes": b, "path": None} for b in values], _PICTURE)
        return pa.array(values)
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


class Appender:
    """A file that is written piece by piece; each piece is a row group."""

    def __init__(self, path: epath.Path):
        self.path, self._writer = path, None
        files.make_folder(path.parent)

    def write(self, columns: Mapping[str, np.ndarray | list]) -> None:
        """Appends rows; all pieces have the same columns."""
        rows = table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, rows.schema, compression="snappy")
        self._writer.write_table(rows)

    def close(self) -> None:
        """Finishes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def write(
    path: epath.Path, columns: Mapping[str, np.ndarray | list], metadata: Mapping | None = None
) -> None:
    """Writes a file at once; its folder is made.

    Args:
      columns: see `table`. metadata: of the file, name -> text.
    """
    files.make_folder(path.parent)
    pq.write_table(table(columns).replace_schema_metadata(metadata), path)
