"""Messages on the wire: msgpack with numpy arrays, as openpi's client writes and reads them.

An array is a map of four binary keys: `__ndarray__` (true), `data` (its bytes in C order), `dtype`
(numpy's code such as "<f4") and `shape`. A numpy scalar is `__npgeneric__`, `data` and `dtype`.
What the package msgpack_numpy writes is read as well: `nd`, `type`, `kind`, `shape` and `data`.
Booleans, integers and floats of fixed size alone: no object, string, structured or time dtypes,
so nothing that arrives can run code or stand for more memory than was sent. Few entries, short
texts and few lists and maps in a message, so that none takes long to read.
"""

from __future__ import annotations

import itertools
import math
import re
import reprlib
from typing import Any

import msgpack
import numpy as np

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_MAX_DIMENSIONS = 8
# Entries of a list or a map, bytes of a text, lists and maps of a message.
MAX_ENTRIES, MAX_TEXT, MAX_CONTAINERS = 256, 4096, 1000


class WireError(ValueError):
    """A message that is not msgpack, or holds what may not be sent."""


def pack(message: Any) -> bytes:
    """Bytes of a message of dicts, lists, numbers, strings and arrays.

    Raises:
      WireError: an array of another dtype, or an object that msgpack has no form for.
    """
    try:
        return msgpack.packb(message, default=_pack_numpy)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}") from None


def unpack(data: bytes) -> Any:
    """The message of some bytes; its arrays are read-only views of them.

    Raises:
      WireError: not one whole msgpack message, one beyond the limits, or an array that is not as
        described above.
    """
    containers = itertools.count(1)

    def count(found):
        if next(containers) > MAX_CONTAINERS:
            raise WireError(f"found over {MAX_CONTAINERS} lists and maps; expected arrays")
        return found

    try:
        return msgpack.unpackb(
            data,
            object_hook=lambda found: _unpack_numpy(count(found)),
            list_hook=count,
            ext_hook=_refuse_extension,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
            max_str_len=MAX_TEXT,
        )
    except WireError:
        raise
    except (TypeError, ValueError, OverflowError, msgpack.UnpackException) as error:
        reason = str(error)[:100] or type(error).__name__
        raise WireError(f"found {len(data)} bytes that cannot be unpacked: {reason}") from None


def is_flat(value: Any) -> bool:
    """Whether a value is an array, a text, a number, none, or a list of numbers."""
    if isinstance(value, list):
        return all(isinstance(number, (int, float, np.generic)) for number in value)
    return value is None or isinstance(value, (np.ndarray, np.generic, str, int, float))


def shown(value: Any) -> str:
    """What a value is, in a few words of one line, whatever its size."""
    return _SHORT.repr(value)[:60]


class _Short(reprlib.Repr):
    repr_bytes = reprlib.Repr.repr_str  # cuts before it writes, as for texts

    def repr_ndarray(self, array, level):
        return f"an array {array.shape} of {array.dtype}"


_SHORT = _Short()


def _pack_numpy(value):
    if not isinstance(value, (np.ndarray, np.generic)):
        raise WireError(f"found {type(value).__name__}; expected numbers, strings or arrays")
    code = value.dtype.str
    if not _DTYPE.fullmatch(code):
        raise WireError(f"found dtype {value.dtype}; expected bool, integers or floats")
    if isinstance(value, np.ndarray):
        body = value.tobytes()
        return {b"__ndarray__": True, b"data": body, b"dtype": code, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": code}


def _unpack_numpy(found: dict):
    if b"__ndarray__" in found:
        return _array(found)
    if b"__npgeneric__" in found:
        dtype, value = _dtype(found), found.get(b"data")
        if not isinstance(value, (bool, int, float)):
            raise WireError(f"scalar: data is {type(value).__name__}; expected a number")
        return dtype.type(value)
    if b"nd" in found:
        return _of_msgpack_numpy(found)
    return found


def _of_msgpack_numpy(found: dict):
    """An array, or a scalar (`nd` false), which has its bytes as `data` and no shape."""
    if found.get(b"kind"):  # b"O" holds a pickle, b"V" a structure
        raise WireError(f"array: kind is {shown(found[b'kind'])}; expected b'', plain numbers")
    scalar = found[b"nd"] is not True
    shape = [] if scalar else found.get(b"shape")
    plain = _array({b"dtype": found.get(b"type"), b"shape": shape, b"data": found.get(b"data")})
    return plain[()] if scalar else plain


def _array(found: dict) -> np.ndarray:
    dtype, shape, data = _dtype(found), found.get(b"shape"), found.get(b"data")
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or len(shape) > _MAX_DIMENSIONS:
        raise WireError(f"array: shape is {shown(shape)}; expected at most 8 sizes")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        size = len(data) if isinstance(data, bytes) else type(data).__name__
        raise WireError(f"array: found {size} bytes for shape {tuple(shape)} of {dtype}")
    return np.frombuffer(data, dtype).reshape(shape)


def _dtype(found: dict) -> np.dtype:
    code = found.get(b"dtype")
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise WireError(f"array: dtype is {shown(code)}; expected bool, integers or floats")
    try:
        return np.dtype(code)
    except TypeError:  # such as an eight-byte bool
        raise WireError(f"array: there is no dtype {shown(code)}") from None


def _refuse_extension(code: int, data: bytes):
    raise WireError(f"found msgpack extension {code}; expected plain msgpack")
