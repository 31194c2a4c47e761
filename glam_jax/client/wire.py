"""Messages on the wire: msgpack with numpy arrays, as openpi's client writes and reads them.

An array is a map of four binary keys: `__ndarray__` (true), `data` (its bytes in C order), `dtype`
(numpy's code such as "<f4") and `shape`. A numpy scalar is `__npgeneric__`, `data` and `dtype`.
What the package msgpack_numpy writes is read as well: `nd`, `type`, `kind`, `shape` and `data`.
Booleans, integers and floats of fixed size alone: no object, string, structured or time dtypes,
so nothing that arrives can run code or stand for more memory than was sent.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgpack
import numpy as np

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_MAX_DIMENSIONS = 8


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
      WireError: not one whole msgpack message, or an array that is not as described above.
    """
    try:
        return msgpack.unpackb(data, object_hook=_unpack_numpy, ext_hook=_refuse_extension)
    except WireError:
        raise
    except (TypeError, ValueError, OverflowError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise WireError(f"found {len(data)} bytes that are not msgpack: {reason}") from None


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
        raise WireError(f"array: kind is {found[b'kind']!r:.40}; expected b'', plain numbers")
    scalar = found[b"nd"] is not True
    shape = [] if scalar else found.get(b"shape")
    plain = _array({b"dtype": found.get(b"type"), b"shape": shape, b"data": found.get(b"data")})
    return plain[()] if scalar else plain


def _array(found: dict) -> np.ndarray:
    dtype, shape, data = _dtype(found), found.get(b"shape"), found.get(b"data")
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or len(shape) > _MAX_DIMENSIONS:
        raise WireError(f"array: shape is {shape!r:.60}; expected at most 8 sizes")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        size = len(data) if isinstance(data, bytes) else type(data).__name__
        raise WireError(f"array: found {size} bytes for shape {tuple(shape)} of {dtype}")
    return np.frombuffer(data, dtype).reshape(shape)


def _dtype(found: dict) -> np.dtype:
    code = found.get(b"dtype")
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise WireError(f"array: dtype is {code!r:.40}; expected bool, integers or floats")
    try:
        return np.dtype(code)
    except TypeError:  # such as an eight-byte bool
        raise WireError(f"array: there is no dtype {code!r}") from None


def _refuse_extension(code: int, data: bytes):
    raise WireError(f"found msgpack extension {code}; expected plain msgpack")
