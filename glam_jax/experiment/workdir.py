"""The folder of one run: whose it is, what is finished, and how long each stage took."""

import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from glam_jax import files, values
from glam_jax.errors import DataError, UserError
from glam_jax.runtime import checkpoint, hosts

CONFIG, PROGRESS, RESULTS = "config.json", "progress.json", "results.json"
STAGE1, REPLAY, CONTINUED = "stage1.json", "replay.json", "continued.json"
AUDITS = "audits.json"  # auxiliary source -> what its audit found
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
        checkpoint.check_place(self.path)
        self.world_model = self.path / "world_model"
        self.policy = self.path / "policy"
        self.labels = self.path / "labels.npy"
        self._progress = self.path / PROGRESS

    def claim(self, config: ConfigDict) -> None:
        """Makes the folder this config's, or checks that the run in it may continue with it.

        It may where nothing was learnt with a value that differs, see `values.Value.decides`, and
        with another length of a training that is not finished or that nothing was learnt from.
        `config.json` then has the new values, CONTINUED each length that was changed on the way,
        and results that follow from other values are kept under another name.

        Raises:
          WorkdirError: the run has learnt with another config; names the keys that differ, and how
            to start another run. Or the folder is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise WorkdirError(f"{self.path} is a file; expected the folder of a run, or a new one")
        wanted = json.loads(config.to_json())
        if not (self.path / CONFIG).exists():
            files.write_json(self.path / CONFIG, wanted)
            return
        different = [Difference(*one) for one in _differences(self.read(CONFIG), wanted)]
        reached = {
            values.STAGE1: checkpoint.last_step(self.world_model),
            values.STAGE2: checkpoint.last_step(self.policy),
        }
        if refused := [one for one in different if not one.may_be(reached)]:
            listed = ", ".join(one.said(reached) for one in refused)
            raise WorkdirError(
                f"{self.path} was made by another config; it differs in {listed}. "
                + self._instead(config, refused, reached)
            )
        if different:
            self._change(different, reached)
            files.write_json(self.path / CONFIG, wanted)

    def _instead(self, config: ConfigDict, refused: list["Difference"], reached: dict) -> str:
        """How to do what is refused."""
        lender = config.world_model_from or (reached[values.STAGE1] and f"../{self.path.name}")
        if not lender or {one.decides for one in refused} != {values.STAGE2}:
            return "Choose another --workdir, or repeat the command that made it"
        numbered = (self.path.with_name(f"{self.path.name}_{n}") for n in itertools.count(2))
        new = next(path for path in numbered if not path.exists())
        return (
            "Only stage 2 differs: a new run from the same world model is the same command with "
            f"--workdir={new} --config.world_model_from={lender}"
        )

    def _change(self, different: list["Difference"], reached: dict) -> None:
        """Says what changes, remembers it where it leaves a trace, and puts results aside."""
        for one in different:
            print(f"{self.path}: {one.said(reached)}; continuing")
        lengths = [one.record(reached) for one in different if one.is_length and one.at(reached)]
        if lengths:
            files.write_json(self.path / CONTINUED, self.continued() + lengths)
        if self.results() and any(one.decides != values.NOTHING for one in different):
            numbered = (self.path / f"results_{n}.json" for n in itertools.count(1))
            earlier = next(path for path in numbered if not path.exists())
            files.move(self.path / RESULTS, earlier)
            print(f"{self.path}: the results from before are in {earlier.name}")

    def continued(self) -> list[dict]:
        """The lengths of trainings that were changed on the way, oldest first: `key`, `found` and
        `asked` length, and the step `at` which it was changed."""
        return self.read(CONTINUED) if (self.path / CONTINUED).exists() else []

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


@dataclasses.dataclass(frozen=True)
class Difference:
    """A key whose value in the folder is not the one that is asked for.

    Its methods take what the run has `reached`: stage -> step of its newest checkpoint, 0 before.
    """

    key: str
    found: Any
    asked: Any

    @property
    def decides(self) -> str:
        """See `values.Value`; a key that is no longer known may have decided all."""
        known = values.of(self.key)
        return known.decides if known else values.BOTH

    @property
    def is_length(self) -> bool:
        """Whether it is a length of a training that was known before."""
        known = values.of(self.key)
        return bool(known and known.length and self.found)

    def at(self, reached: dict[str, int]) -> int:
        """The step up to which was learnt with the value; 0 where it decides no learning."""
        if self.decides == values.BOTH:
            return max(reached.values())
        return reached.get(self.decides, 0)

    def may_be(self, reached: dict[str, int]) -> bool:
        """Whether a run may continue with the asked value."""
        at = self.at(reached)
        if not at or not self.is_length:
            return not at
        # Stage 2, and runs that borrow the world model, learn from a finished stage 1.
        return self.asked >= at and (self.decides == values.STAGE2 or at < self.found)

    def said(self, reached: dict[str, int]) -> str:
        """Key, both values, and where a training is whose length it is."""
        at = f", at step {self.at(reached)}" if self.is_length and self.at(reached) else ""
        return f"{self.key} (found {self.found}, asked {self.asked}{at})"

    def record(self, reached: dict[str, int]) -> dict:
        """As JSON."""
        return dataclasses.asdict(self) | {"at": self.at(reached)}


def _differences(found: dict, wanted: dict, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, in order, with both values."""
    for key in sorted(found.keys() | wanted.keys()):
        name, a, b = f"{prefix}{key}", found.get(key), wanted.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, f"{name}.")
        elif a != b:
            yield name, a, b
