"""The folder of one run: whose it is, what is finished, and how long each stage took."""

import contextlib
import json
import time
from collections.abc import Iterator

from etils import epath
from ml_collections import ConfigDict

from glam_jax import files
from glam_jax.errors import DataError, UserError
from glam_jax.runtime import hosts

CONFIG, PROGRESS, RESULTS = "config.json", "progress.json", "results.json"
STAGE1, REPLAY = "stage1.json", "replay.json"
# Of a run on own data: key -> [shape, dtype] of what its target recorded.
STORED = "stored.json"


class WorkdirError(UserError, ValueError):
    """A run folder that does not fit what was asked of it."""


class Workdir:
    """A run folder claimed by one config.

    Attributes:
      path: the folder. world_model, policy: folders of the stages.
    """

    def __init__(self, path: epath.PathLike):
        self.path = files.path(path)
        self.world_model = self.path / "world_model"
        self.policy = self.path / "policy"
        self.labels = self.path / "labels.npy"
        self._progress = self.path / PROGRESS

    def claim(self, config: ConfigDict) -> None:
        """Makes the folder this config's, or checks that it is.

        Raises:
          WorkdirError: the folder belongs to another config; names the keys that differ.
        """
        wanted = json.loads(config.to_json())
        if not (self.path / CONFIG).exists():
            files.write_json(self.path / CONFIG, wanted)
            return
        found = self.read(CONFIG)
        if different := sorted(_differences(found, wanted)):
            raise WorkdirError(
                f"{self.path} was made by another config; it differs in {', '.join(different)}. "
                "Choose another --workdir, or repeat the command that made it"
            )

    def config(self) -> ConfigDict:
        """The config that the run was made with.

        Raises:
          WorkdirError: no run has been started in the folder.
        """
        return ConfigDict(self.read(CONFIG)).lock()

    def results(self) -> dict | None:
        """The results of a finished run, None before its end."""
        return self.read(RESULTS) if (self.path / RESULTS).exists() else None

    def finish(self, results: dict) -> None:
        """Writes `results.json`: the run is done."""
        files.write_json(self.path / RESULTS, results)

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds spent in it so far, over all starts of the run."""
        return self.read(PROGRESS) if self._progress.exists() else {}

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time inside to the stage's seconds, also when it is left by an error.

        Of several hosts the first one's counts.
        """
        began = time.monotonic()
        try:
            yield
        finally:
            spent = self.seconds()
            spent[stage] = round(spent.get(stage, 0.0) + time.monotonic() - began, 1)
            if hosts.is_leader():
                files.write_json(self._progress, spent)

    def read(self, name: str) -> dict:
        """One of the folder's JSON files.

        Raises:
          WorkdirError: it is missing or damaged.
        """
        path = self.path / name
        try:
            return files.read_json(path)
        except FileNotFoundError:
            raise WorkdirError(f"{path} is missing: no run was started in {self.path}") from None
        except DataError as error:
            raise WorkdirError(f"{error}; remove it to start anew") from None


def _differences(found: dict, wanted: dict, prefix: str = "") -> Iterator[str]:
    """Dotted keys whose values differ, with both values."""
    for key in found.keys() | wanted.keys():
        name, a, b = f"{prefix}{key}", found.get(key), wanted.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, f"{name}.")
        elif a != b:
            yield f"{name} (found {a}, asked {b})"
