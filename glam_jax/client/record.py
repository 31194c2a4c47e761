"""The file `episodes.json`: what was measured, of which policy, in which environment.

policy, environment, settings   the server's metadata, what the environment is, how it was run
partial                         whether seeds are missing
summary                         of all episodes; see `measures.summary`
episodes                        for each its `seed`, `success` (null if no info told), `steps`,
                                `ended` (why), `smoothness` (of its sent actions; see `measures`)
                                and `latency_ms` (of each request)
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
from typing import Any

import numpy as np

from . import measures
from .simulator import flat

NAME = "episodes.json"
# An indented list of numbers, which is written in one line.
_NUMBERS = re.compile(r"\[((?:\n *-?[\d.e+-]+,?)+)\n *\]")


class RecordError(ValueError):
    """Episodes that cannot be continued; names the file and what differs."""


class Record:
    """Episodes in the order in which they were measured, on disk after each if there is a folder.

    Attributes:
      episodes: one dict an episode, as above.
    """

    def __init__(self, folder: str | os.PathLike | None, about: dict[str, Any]):
        """Takes up what the folder has.

        Args:
          folder: where to write; None to keep it in memory.
          about: the policy's metadata, the environment and how it is run.

        Raises:
          RecordError: the folder's episodes were measured with another `about`.
        """
        self._path = None if folder is None else pathlib.Path(folder).expanduser() / NAME
        self._about, self.episodes = _plain(about), []
        if self._path is not None and self._path.exists():
            self.episodes = self._earlier()

    def _earlier(self) -> list[dict[str, Any]]:
        other = "choose another --out"
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            before, episodes = flat({name: found[name] for name in self._about}), found["episodes"]
        except (ValueError, KeyError, TypeError):
            raise RecordError(f"{self._path} is not of this command; {other}") from None
        now = flat(self._about)
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise RecordError(
                    f"{self._path} has other episodes: {name} is {before.get(name)!r:.60} there "
                    f"and {now.get(name)!r:.60} here; {other}"
                )
        return episodes

    def missing(self, seeds: list[int]) -> list[int]:
        """Those of the seeds that no episode has."""
        known = {episode["seed"] for episode in self.episodes}
        return [seed for seed in seeds if seed not in known]

    def content(self, seeds: list[int]) -> dict[str, Any]:
        """All of the record; `partial` if one of the seeds has no episode."""
        summary = measures.summary(self.episodes) if self.episodes else None
        partial = bool(self.missing(seeds))
        found = {"partial": partial, "summary": summary, "episodes": self.episodes}
        return _plain({**self._about, **found})

    def write(self, seeds: list[int]) -> None:
        """Writes the file beside its place, then puts it there."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f".{os.getpid()}.{NAME}")
        text = json.dumps(self.content(seeds), indent=1)
        text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
        new.write_text(text + "\n", encoding="utf-8")
        os.replace(new, self._path)


def _plain(value: Any) -> Any:
    """Of JSON's own kinds; numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
