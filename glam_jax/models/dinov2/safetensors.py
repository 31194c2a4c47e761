"""Arrays of a .safetensors file: 8 bytes of length, that much JSON, then the arrays' bytes."""

import json
import math
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from glam_jax.errors import UserError

# Kinds of number, as the format calls them.
KINDS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


class TensorFileError(UserError, ValueError):
    """A file of tensors that is damaged, or holds what is not admitted."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of every tensor of a .safetensors file.

    Raises:
      FileNotFoundError: no such file.
      TensorFileError: damaged, or a tensor of an unknown kind; names it.
    """
    content = Path(path).read_bytes()
    header, body = _split(content, path)
    return {
        name: _array(entry, body, f"{path}: {name}")
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _split(content: bytes, path: str | Path) -> tuple[dict, memoryview]:
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else -1
    if not 0 < length <= min(LARGEST_HEADER, len(content) - 8):
        raise TensorFileError(
            f"{path}: its header is {length} bytes long in a file of {len(content)}; "
            "the file is cut short, or is not of the safetensors format"
        )
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError as error:
        raise TensorFileError(f"{path}: its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise TensorFileError(f"{path}: its header is a {type(header).__name__}, expected a dict")
    return header, memoryview(content)[8 + length :]


def _array(entry: dict, body: memoryview, where: str) -> np.ndarray:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        count = math.prod(shape)
        sound = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        raise TensorFileError(
            f"{where} has the header {entry}; expected dtype, shape, data_offsets"
        ) from None
    if kind not in KINDS:
        raise TensorFileError(f"{where} is of kind {kind!r}; expected one of {', '.join(KINDS)}")
    needed = count * KINDS[kind].itemsize
    if not sound or end - begin != needed or end > len(body):
        raise TensorFileError(
            f"{where} lies at bytes {begin} to {end} of {len(body)}; "
            f"its shape {shape} of {kind} needs {needed}"
        )
    return np.frombuffer(body[begin:end], KINDS[kind]).reshape(shape)
