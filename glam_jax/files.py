"""Files: written beside and renamed, so that a reader finds the old or the whole new one."""

import json
import math
import os
import pathlib
import re
from typing import Any

import numpy as np

# An indented list of numbers; no string has a line break that is not escaped.
_NUMBERS = re.compile(r"\[((?:\n *(?:-?\d[\d.eE+-]*|null),?)+)\n *\]")


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Writes `value` as indented JSON, beside and then renamed; lists of numbers in one line each.

    Numpy and JAX scalars and arrays become numbers and lists, paths become strings, and
    numbers that are not finite become null, which JSON has no other word for.
    """
    text = json.dumps(_plain(value), indent=2, allow_nan=False)
    write_text(path, _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Writes a text file so that `path` holds either the old or the whole new text.

    Raises:
      OSError: if it cannot be written, for instance on a full disk; the old file stays.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


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
