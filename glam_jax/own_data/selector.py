"""Which stored numbers are meant: `observation/state[0:3]`, `action`, `pose[3],pose[7]`."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np

from glam_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Part:
    """A stored array, and which of a step's numbers, flattened; all if `start` is None."""

    path: str
    start: int | None = None
    stop: int | None = None

    def pick(self, values: np.ndarray) -> np.ndarray:
        """The wanted numbers (T, n) of each step's, of `values` (T, ...).

        Raises:
          DataError: there are not as many.
        """
        flat = values.reshape(len(values), -1)
        if self.start is None:
            return flat
        if self.stop > flat.shape[1]:
            raise DataError(
                f"key {self.path!r} has {flat.shape[1]} numbers a step, "
                f"asked for [{self.start}:{self.stop}]"
            )
        return flat[:, self.start : self.stop]

    def renamed(self, names: Mapping[str, str]) -> str:
        """The text of the same numbers of an array by another name; key -> name."""
        name = names.get(self.path, self.path)
        if self.start is None:
            return name
        one = self.stop == self.start + 1
        return f"{name}[{self.start}]" if one else f"{name}[{self.start}:{self.stop}]"


@dataclasses.dataclass(frozen=True)
class Selector:
    """Numbers of one or several stored arrays, joined; the `text` is what a key map says."""

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Of `key`, `key[i]` or `key[from:to]`, or of several with commas between them.

        Raises:
          ValueError: text of another shape.
        """
        return cls(text, tuple(_part(part) for part in text.split(",")))

    @property
    def paths(self) -> tuple[str, ...]:
        """Keys of the arrays."""
        return tuple(part.path for part in self.parts)

    def pick(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The numbers (T, n) of arrays by key, each (T, ...); raises DataError as `Part.pick`."""
        picked = [part.pick(arrays[part.path]) for part in self.parts]
        return picked[0] if len(picked) == 1 else np.concatenate(picked, axis=1)

    def width(self, sizes: Mapping[str, int]) -> int:
        """How many numbers a step are picked of arrays of so many numbers a step, by key."""
        return sum(
            sizes[part.path] if part.start is None else part.stop - part.start
            for part in self.parts
        )

    def renamed(self, names: Mapping[str, str]) -> str:
        """The text with other names of arrays, key -> name."""
        return ",".join(part.renamed(names) for part in self.parts)

    def put(self, values: np.ndarray, arrays: dict[str, np.ndarray], sizes: Mapping[str, int]):
        """The inverse of `pick`: puts `values` (T, n) into arrays by key; zeros where it has none.

        Args:
          values: as picked. arrays: key -> (T, size), made where they are not there.
          sizes: key -> numbers a step.
        """
        at = 0
        for part in self.parts:
            start, stop = part.start or 0, sizes[part.path] if part.start is None else part.stop
            array = arrays.setdefault(part.path, np.zeros((len(values), sizes[part.path])))
            array[:, start:stop] = values[:, at : at + stop - start]
            at += stop - start


def _part(text: str) -> Part:
    match = re.fullmatch(r"\s*([^\[\],]+?)(?:\[(\d+)(?::(\d+))?\])?\s*", text)
    if not match or match[1] != match[1].strip():
        raise ValueError(f"{text!r}: expected a key, key[i] or key[from:to]")
    path, start, stop = match.groups()
    if start is None:
        return Part(path)
    low, high = int(start), int(stop) if stop else int(start) + 1
    if high <= low:
        raise ValueError(f"{text!r}: expected from below to")
    return Part(path, low, high)


@contextlib.contextmanager
def naming(key: str) -> Iterator[None]:
    """Puts a key before the message of a ValueError raised inside."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"key {key!r}: {error}") from error
