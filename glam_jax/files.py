"""Files and folders: the one module that opens, lists, renames, makes and removes them.

Paths are those of `etils.epath`: a folder lies on a disk, or in a bucket (gs://, s3://), and nobody
else needs to know which, see `buckets`. What is written is written beside its place and put there
when it is whole: a reader finds the old or the whole new one, also after a killed run.

A folder FOLDER that is being written is called FOLDER.writing; for the instant between two
renames, the earlier one is called FOLDER.previous.
"""

import contextlib
import fnmatch
import json
import math
import os
import pathlib
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import filelock
import numpy as np
from etils import epath

from glam_jax import buckets
from glam_jax.errors import DataError

_UNFINISHED = (".writing", ".previous")
# An indented list of numbers; no string has a line break that is not escaped.
_NUMBERS = re.compile(r"\[((?:\n *(?:-?\d[\d.eE+-]*|null),?)+)\n *\]")


def path(text: epath.PathLike) -> epath.Path:
    """A path as all of the package has it, `~` expanded; raises as `buckets.check`."""
    buckets.check(text)
    return epath.Path(text).expanduser()


def below(folder: epath.PathLike, text: epath.PathLike) -> epath.Path:
    """The path that a text names, seen from a folder unless it starts at a root or in a bucket."""
    other = path(text)
    return other if buckets.is_in(other) else path(path(folder) / other)


# --- Reading ----------------------------------------------------------------------------


def read_bytes(file: epath.PathLike) -> bytes:
    """The content of a file; raises OSError, for instance FileNotFoundError."""
    return path(file).read_bytes()


def read_text(file: epath.PathLike) -> str:
    """The text of a file; raises OSError, and DataError where it is not UTF-8."""
    try:
        return path(file).read_text()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text ({error})") from error


def read_json(file: epath.PathLike) -> Any:
    """The value of a JSON file.

    Raises:
      OSError: it cannot be read, for instance FileNotFoundError. DataError: it is not JSON.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON ({error})") from error


def find(folder: epath.PathLike, pattern: str = "*") -> list[epath.Path]:
    """Files and folders below a folder, by a pattern such as `*/info.json`, in order of name.

    What is hidden, and what is in folders that are being written, is left out.
    """
    found = [path(folder)]
    for names in pattern.split("/"):
        listed = [p for above in found if above.is_dir() for p in above.iterdir()]
        found = [p for p in listed if fnmatch.fnmatchcase(p.name, names) and not _hidden(p)]
    return sorted(found)


def _hidden(place: epath.Path) -> bool:
    return place.name.startswith(".") or place.name.endswith(_UNFINISHED)


@contextlib.contextmanager
def local(file: epath.PathLike) -> Iterator[epath.Path]:
    """A file on this machine's disk, for libraries that read no other: itself, or a copy."""
    file = path(file)
    if not buckets.is_in(file):
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        yield file.copy(path(folder) / file.name)


def local_folder(folder: epath.PathLike) -> epath.Path:
    """A folder on this machine's disk, for libraries that read no other: itself, or a copy that
    stays as long as this process; raises as `buckets.fetch`."""
    folder = path(folder)
    return buckets.fetch(folder) if buckets.is_in(folder) else folder


def absolute(place: epath.PathLike) -> epath.Path:
    """The path from the root of the disk or the bucket, without `..`."""
    place = path(place)
    if not buckets.is_in(place):
        return place.resolve()
    scheme, rest = os.fspath(place).split("://")
    return path(f"{scheme}://{posixpath.normpath(rest)}")


# --- Writing ----------------------------------------------------------------------------


@contextlib.contextmanager
def beside(file: epath.PathLike) -> Iterator[epath.Path]:
    """A path on this machine's disk to write to, put in place of `file` when the block ends.

    Its suffix is that of `file`, whose folder is made. After an error the old file stays.

    Raises:
      OSError: the file cannot be written, for instance on a full disk.
    """
    file = path(file)
    if buckets.is_in(file):  # which takes a file as a whole
        with tempfile.TemporaryDirectory() as folder:
            new = path(folder) / file.name
            yield new
            new.copy(file, overwrite=True)
        return
    make_folder(file.parent)
    new = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        yield new
        with open(new, "rb+") as written:
            os.fsync(written.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def write_bytes(file: epath.PathLike, content: bytes) -> None:
    """Writes a file; see `beside`."""
    with beside(file) as new:
        new.write_bytes(content)


def write_text(file: epath.PathLike, text: str) -> None:
    """Writes a text file; see `beside`."""
    write_bytes(file, text.encode())


def write_json(file: epath.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, lists of numbers in one line each; see `beside`.

    Numpy and JAX scalars and arrays become numbers and lists, paths become strings, and
    numbers that are not finite become null, which JSON has no other word for.
    """
    text = json.dumps(_plain(value), indent=2, allow_nan=False)
    write_text(file, _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")


class Growing:
    """A folder whose files are added to as long as a program runs.

    Attributes:
      here: where to write to on this machine's disk: the folder, or one whose files `send` copies.
    """

    def __init__(self, folder: epath.PathLike):
        self._folder, self._sent = path(folder), {}
        self._temporary = buckets.is_in(self._folder) and tempfile.TemporaryDirectory()
        self.here = path(self._temporary.name) if self._temporary else make_folder(self._folder)

    def append_text(self, name: str, text: str) -> None:
        """Adds text to the end of a file, and hands it to the operating system."""
        with (self.here / name).open("a") as opened:
            opened.write(text)

    def send(self) -> None:
        """Copies to a bucket what was added."""
        for file in self.here.iterdir() if self._temporary else ():
            size = file.stat().length
            if self._sent.get(file.name) != size:
                file.copy(self._folder / file.name, overwrite=True)
                self._sent[file.name] = size


def free_bytes(folder: epath.PathLike) -> int:
    """Room on the disk that what is written to a folder needs first."""
    at = tempfile.gettempdir() if buckets.is_in(path(folder)) else path(folder)
    return shutil.disk_usage(at).free


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if hasattr(value, "__array__"):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# --- Folders ----------------------------------------------------------------------------


@contextlib.contextmanager
def folder_beside(folder: epath.PathLike, inside: str = "") -> Iterator[epath.Path]:
    """An empty folder to write into, put in place of `folder` when the block ends.

    The earlier folder stays until the new one is whole, and after an error. What a killed run
    left is undone first, see `recover`.

    Args:
      folder: the final place. inside: the folder in the new one that is put there; "" is all.
    """
    folder = recover(folder)
    if buckets.is_in(folder):
        with tempfile.TemporaryDirectory() as made:
            yield path(made)
            buckets.put_folder(path(made) / inside, folder)
        return
    writing, previous = _apart(folder)
    try:
        yield make_folder(writing)
        if folder.exists():
            folder.rename(previous)
        (writing / inside).rename(folder)
        remove(previous)
    finally:
        remove(writing)


def recover(folder: epath.PathLike) -> epath.Path:
    """Undoes what a killed `folder_beside` left: the half-written folder goes, the earlier one
    returns, or in a bucket what is whole is put in place. Only the writer of a folder calls this.
    Returns its path."""
    folder = path(folder)
    if buckets.is_in(folder):
        buckets.settle(folder)
        return folder
    writing, previous = _apart(folder)
    remove(writing)
    if previous.exists() and not folder.exists():
        previous.rename(folder)
    remove(previous)
    return folder


def mark(folder: epath.PathLike) -> None:
    """Lists a folder's files in it, so that a copy by hand in a bucket is known to be whole."""
    buckets.mark(path(folder))


def is_whole(folder: epath.PathLike) -> bool:
    """Whether a folder that `folder_beside` makes is there."""
    folder = path(folder)
    return buckets.is_whole(folder) if buckets.is_in(folder) else folder.exists()


def earlier(folder: epath.PathLike) -> epath.Path | None:
    """The earlier folder that a killed `folder_beside` left, and `recover` brings back."""
    _, kept = _apart(path(folder))
    return kept if kept.exists() else None


def _apart(folder: epath.Path) -> list[epath.Path]:
    return [folder.with_name(folder.name + suffix) for suffix in _UNFINISHED]


def make_folder(folder: epath.PathLike) -> epath.Path:
    """Makes a folder, and those above it, unless it is there; returns its path."""
    folder = path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def move(place: epath.PathLike, target: epath.PathLike) -> None:
    """Renames a file or folder; raises FileExistsError if the target is there."""
    path(place).rename(target)


def remove(place: epath.PathLike) -> None:
    """Removes a file, or a folder with all that is in it, if it is there."""
    place = path(place)
    if place.is_dir():
        place.rmtree(missing_ok=True)
    else:
        place.unlink(missing_ok=True)


def lock(file: epath.PathLike) -> filelock.BaseFileLock:
    """A lock between the processes of this machine; that of a killed process is free at once.

    The file is there only to be locked, and stays; its folder is made. A bucket has no locks: its
    files are locked in this machine's temporary folder.

    Example:
      with files.lock(folder / "a.lock").acquire(timeout=0):  # or raises filelock.Timeout
          ...
    """
    file = path(file)
    if buckets.is_in(file):
        ours = path(tempfile.gettempdir()) / f"glam_jax_locks_{os.getuid()}"
        file = ours / os.fspath(file).replace("://", "/")
    make_folder(file.parent)
    return filelock.FileLock(file)
