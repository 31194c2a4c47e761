"""Buckets, gs:// and s3://: what differs there from a disk. Only `files` uses this.

A file appears in a bucket when it is written as a whole, but a folder cannot be renamed, only
copied. So a folder is whole when it has MARKER, a list of its files, which is written last and
removed first. A new folder is written to FOLDER.writing, until that has its MARKER, and then copied
to FOLDER: what a killed process left of this is finished by the next one.

Folders that are read often are copied to a cache on this machine, `fetch`. All its processes share
it: whoever uses a folder holds a lock of it, and what was not used for the longest time goes first.
"""

import fcntl
import functools
import hashlib
import json
import logging
import os
import re
import shutil

import fsspec
from etils import epath

from glam_jax.errors import UserError, first_line

# By fsspec, not by TensorFlow, and without asking Google for the kind of bucket before each call.
os.environ.setdefault("EPATH_USE_TF", "false")
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it raises what it logs
for _kind in ("gs", "s3"):  # other processes write there too
    fsspec.config.conf.setdefault(_kind, {})["use_listings_cache"] = False

MARKER, WRITING = "complete.json", ".writing"
# The cache: GLAM_CACHE_GB says otherwise.
MOST_GB = 200.0
_LOGIN = {"gs": "gcloud auth application-default login", "s3": "aws configure"}
_EXTRA = {"gs": "gcs", "s3": "s3"}
_used: dict[str, int] = {}  # key of a folder in the cache -> the open file that locks it


class BucketError(UserError, OSError):
    """A bucket, or a folder in it, that cannot be used."""


# --- Names ------------------------------------------------------------------------------


def is_in(place: epath.PathLike) -> bool:
    """Whether a path is one of a bucket."""
    return os.fspath(place).startswith(("gs://", "s3://"))


def check(place: epath.PathLike) -> None:
    """Checks a path that a user gave: one of a bucket must be there and be ours to read.

    Raises:
      BucketError: a path that looks like a URL and is none that is known; a bucket that does not
        exist or may not be read; packages that are not installed.
    """
    text = os.fspath(place)
    if is_in(text):
        scheme, rest = text.split("://")
        _reach(scheme, rest.split("/")[0])
    elif re.match(r"(gs|s3|gcs):|[A-Za-z][A-Za-z0-9+.]+:/", text):
        raise BucketError(f"{text!r}: expected gs://BUCKET/FOLDER, s3://BUCKET/FOLDER, or a path")


@functools.cache
def _reach(scheme: str, bucket: str) -> None:
    name = f"{scheme}://{bucket}"
    if not bucket:
        raise BucketError(f"{name}: the name of the bucket is missing")
    try:
        system(name).ls(bucket)
    except ImportError:
        raise BucketError(
            f'{name}: packages are missing: pip install "glam_jax[{_EXTRA[scheme]}]"'
        ) from None
    except FileNotFoundError:
        raise BucketError(f"{name}: there is no such bucket") from None
    except Exception as error:  # whatever credentials and networks have to say
        raise BucketError(
            f"{name}: the bucket cannot be read ({first_line(error)}); are you logged in? "
            f"See {_LOGIN[scheme]!r}"
        ) from error


def system(place: epath.PathLike) -> fsspec.AbstractFileSystem:
    """The file system of a path in a bucket."""
    return fsspec.filesystem(os.fspath(place).split("://")[0])


# --- Whole folders ----------------------------------------------------------------------


def mark(folder: epath.Path) -> dict[str, list]:
    """Writes MARKER of a finished folder on a disk; a copy of the folder is then a whole one.

    Returns:
      File below the folder -> its bytes and checksum, as MARKER has them.
    """
    found = {}
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            file = epath.Path(parent) / name
            inside = os.fspath(file.relative_to(folder))
            if inside != MARKER:
                found[inside] = [os.path.getsize(file), _checksum(file)]
    found = dict(sorted(found.items()))
    (folder / MARKER).write_text(json.dumps(found, indent=1))
    return found


def is_whole(folder: epath.Path) -> bool:
    """Whether a folder in a bucket is there and whole, or waits beside its place."""
    return _whole(folder) is not None


def put_folder(made: epath.Path, folder: epath.Path) -> None:
    """Puts a finished folder on a disk in the place of one in a bucket."""
    found, writing = mark(made), _writing(folder)
    remove(writing)
    pairs = [(os.fspath(made / name), os.fspath(writing / name)) for name in found]
    if pairs:
        system(folder).put(*map(list, zip(*pairs, strict=True)))
    (writing / MARKER).write_bytes((made / MARKER).read_bytes())
    settle(folder)


def settle(folder: epath.Path) -> None:
    """Finishes what a killed `put_folder` left, or removes it where it cannot be finished."""
    writing = _writing(folder)
    if (writing / MARKER).exists():
        marker = (writing / MARKER).read_bytes()
        remove(folder)  # with MARKER: readers take the one in `writing`
        names = list(json.loads(marker))
        if names:
            pairs = [[os.fspath(place / name) for name in names] for place in (writing, folder)]
            system(folder).copy(*pairs)
        (folder / MARKER).write_bytes(marker)
        (writing / MARKER).unlink()
    remove(writing)


def remove(folder: epath.Path) -> None:
    """Removes a folder, its MARKER first."""
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmtree(missing_ok=True)


def _whole(folder: epath.Path) -> epath.Path | None:
    places = (folder, _writing(folder))
    return next((place for place in places if (place / MARKER).exists()), None)


def _writing(folder: epath.Path) -> epath.Path:
    return folder.with_name(folder.name + WRITING)


def _checksum(file: epath.PathLike) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]


# --- The cache --------------------------------------------------------------------------


def fetch(folder: epath.Path) -> epath.Path:
    """A copy of a whole folder on this machine's disk, which stays as long as this process.

    The copy is found by what is in the folder, and each file is checked when it arrives.

    Raises:
      BucketError: the folder is not whole, or a file of it is not what MARKER says.
      OSError: no room on the disk.
    """
    if (place := _whole(folder)) is None:
        raise BucketError(
            f"{folder} is not whole: it has no {MARKER}, which is written last, and which a copy "
            "by hand must copy too"
        )
    marker = (place / MARKER).read_bytes()
    key = hashlib.blake2b(marker, digest_size=16).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    cache = epath.Path(base).expanduser() / "glam_jax" / "data"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / key
    if key not in _used:
        lock = os.open(cache / f"{key}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not target.exists():  # nobody uses it then: all wait for one who copies
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not target.exists():
                    _copy_down(place, marker, target)
                fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(target)
        except BaseException:
            os.close(lock)
            raise
        _used[key] = lock
        _make_room(cache)
    return target


def _copy_down(place: epath.Path, marker: bytes, target: epath.Path) -> None:
    new, expected = _writing(target), json.loads(marker)
    shutil.rmtree(new, ignore_errors=True)
    for name in [*expected, MARKER]:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
    try:
        if expected:
            system(place).get(*([os.fspath(at / n) for n in expected] for at in (place, new)))
    except FileNotFoundError as error:
        raise BucketError(f"{place} is not whole: {first_line(error)} is missing") from error
    for name, stored in expected.items():
        if [os.path.getsize(new / name), _checksum(new / name)] != stored:
            raise BucketError(f"{place / name} is damaged: it is not what {MARKER} says")
    (new / MARKER).write_bytes(marker)
    os.rename(new, target)


def _make_room(cache: epath.Path) -> None:
    """Removes the copies that no process uses, the oldest first, until the rest is small enough."""
    most = float(os.environ.get("GLAM_CACHE_GB") or MOST_GB) * 1e9
    sizes = {copy: _bytes(copy) for copy in cache.iterdir() if copy.is_dir()}
    for copy in sorted(sizes, key=os.path.getmtime):
        if sum(sizes.values()) <= most:
            return
        key = copy.name.removesuffix(WRITING)
        lock = os.open(cache / f"{key}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(copy)
            del sizes[copy]
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _bytes(folder: epath.Path) -> int:
    walked = ((at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(os.path.getsize(os.path.join(*file)) for file in walked)
