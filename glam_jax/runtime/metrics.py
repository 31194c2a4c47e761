"""Metrics on disk: TensorBoard scalars, and the same numbers as lines of JSON."""

import json

import numpy as np
from etils import epath
from tensorboardX import SummaryWriter

from glam_jax import files

METRICS_FILE = "metrics.jsonl"


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

    def __init__(self, directory: epath.PathLike, resumed_step: int = 0):
        self.directory = files.path(directory)
        path = self.directory / METRICS_FILE
        rows = [row for row in _rows(path) if row["step"] <= resumed_step] if path.exists() else []
        self._folder = files.Growing(self.directory)
        kept = "".join(json.dumps(row) + "\n" for row in rows if resumed_step)
        files.write_text(self._folder.here / METRICS_FILE, kept)
        self._events = SummaryWriter(str(self._folder.here), purge_step=resumed_step + 1)

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends the scalars of one step."""
        values = {name: float(value) for name, value in metrics.items()}
        self._folder.append_text(METRICS_FILE, json.dumps({"step": int(step)} | values) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, int(step))

    def upload(self) -> None:
        """Puts all rows so far where a run continues from, also in a bucket."""
        self._events.flush()
        self._folder.send()

    def close(self) -> None:
        """Saves and closes both files."""
        self._events.close()
        self._folder.send()


def read_metrics(directory: epath.PathLike) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (steps, values) of everything in a stage's metrics.jsonl, in order of writing.

    Raises:
      FileNotFoundError: if the folder holds no metrics.jsonl.
      ValueError: if a line other than an unfinished last one cannot be read.
    """
    curves: dict[str, tuple[list, list]] = {}
    for row in _rows(files.path(directory) / METRICS_FILE):
        step = row.pop("step")
        for name, value in row.items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return {name: (np.array(s), np.array(v, np.float64)) for name, (s, v) in curves.items()}


def _rows(path: epath.Path) -> list[dict]:
    lines = files.read_text(path).splitlines()
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
