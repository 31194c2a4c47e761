"""An episode as a reader gives it: step by step, so that only a few frames are in memory."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class RawEpisode:
    """One episode of a foreign dataset.

    Attributes:
      index: its number in the split.
      steps: key -> array of the step, for all keys of `KeyMap.uses`, as stored; read once.
        Raises DataError where a step cannot be read.
      success: whether it succeeded. text: its instruction, "" where there is none.
    """

    index: int
    steps: Iterator[Mapping[str, np.ndarray]]
    success: bool = True
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of an episode before it is read.

    Attributes:
      steps: how many. success, text: as of `RawEpisode`.
    """

    steps: int
    success: bool
    text: str


def as_text(stored) -> str:
    """An instruction as it is stored: a text, bytes of UTF-8, or the first of an array of them."""
    first = stored.flat[0] if isinstance(stored, np.ndarray) else stored
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
