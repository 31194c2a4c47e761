"""Metrics on disk: TensorBoard scalars, and the same numbers as lines of JSON."""

import json
import math
import os
import pathlib
import re
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"
# An indented list of numbers; no string has a line break that is not escaped.
_NUMBERS = re.compile(r"\[((?:\n *(?:-?\d[\d.eE+-]*|null),?)+)\n *\]")


class MetricWriter:
    """Writes the scalars of one training stage.

    `<directory>/metrics.jsonl` gets one line a call, `{"step": 200, "loss": 0.31, ...}`, and
    `<directory>/events.out.tfevents.*` the same for TensorBoard. A step is the number of
    updates done. A continued run first drops what lies after the step that it continues from,
    so that no step appears twice.

    Args:
      directory: folder of both files; made if it does not exist.
      resumed_step: the step of the restored checkpoint; 0 starts anew.
    """

    def __init__(self, directory: str | pathlib.Path, resumed_step: int = 0):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / METRICS_FILE
        rows = [row for row in _rows(path) if row["step"] <= resumed_step] if path.exists() else []
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows if resumed_step))
        self._lines = path.open("a", buffering=1)
        self._events = SummaryWriter(str(self.directory), purge_step=resumed_step + 1)

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends the scalars of one step.

        Raises:
          ValueError: if a value is no scalar.
        """
        values = {name: _scalar(name, value) for name, value in metrics.items()}
        self._lines.write(json.dumps({"step": int(step)} | values) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, int(step))

    def flush(self) -> None:
        """Hands everything written so far to the operating system."""
        self._lines.flush()
        self._events.flush()

    def close(self) -> None:
        """Flushes and closes both files."""
        self._lines.close()
        self._events.close()


def read_metrics(directory: str | pathlib.Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (steps, values) of everything in a stage's metrics.jsonl, in order of writing.

    Raises:
      FileNotFoundError: if the folder holds no metrics.jsonl.
      ValueError: if a line other than an unfinished last one cannot be read.
    """
    curves: dict[str, tuple[list, list]] = {}
    for row in _rows(pathlib.Path(directory) / METRICS_FILE):
        step = row.pop("step")
        for name, value in row.items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return {name: (np.array(s), np.array(v, np.float64)) for name, (s, v) in curves.items()}


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


def _rows(path: pathlib.Path) -> list[dict]:
    lines = path.read_text().splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # a kill can cut the last line short
                break
            raise ValueError(
                f"{path}, line {number}: found {line[:80]!r}, expected a JSON object with 'step'"
            ) from error
        rows.append(row)
    return rows


def _scalar(name: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(f"metric {name!r}: found shape {array.shape}, expected a scalar")
    return float(array.reshape(()))


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
