"""Kinds of values of a config: which ones each accepts, and how it says so."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

LARGEST = 2**31 - 1  # of whole numbers on a device


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number from `least` to `most`; `above`: `least` itself is too small."""

    least: float = -math.inf
    most: float = math.inf
    whole: bool = False
    above: bool = False

    def accepts(self, value: Any) -> bool:
        kinds = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not _finite(value):
            return False
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        words = "a whole number" if self.whole else "a number"
        if self.least > -math.inf:
            words += f" {'above' if self.above else 'from'} {self.least}"
        if self.most < (LARGEST if self.whole else math.inf):
            words += f" {'up ' if self.above else ''}to {self.most}"
        return words


def whole(least: int, most: float = LARGEST) -> Number:
    """A whole number."""
    return Number(least, most, whole=True)


def above(least: float, most: float = math.inf) -> Number:
    """A number greater than `least`."""
    return Number(least, most, above=True)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values."""

    known: Collection

    def accepts(self, value: Any) -> bool:
        return value in self.known

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.known))}"


@dataclasses.dataclass(frozen=True)
class Text:
    """A text; `some`: not an empty one."""

    some: bool = True

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and (bool(value) or not self.some)

    def __str__(self) -> str:
        return "a text" if self.some else "a text, or an empty one"


@dataclasses.dataclass(frozen=True)
class Several:
    """Values of one kind in a row: `count` of them, or any number that is not below `least`.
    `apart`: no two are equal."""

    of: Any
    count: int | None = None
    least: int = 0
    apart: bool = False

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or not all(map(self.of.accepts, value)):
            return False
        if self.apart and len(set(value)) < len(value):
            return False
        return len(value) >= self.least if self.count is None else len(value) == self.count

    def __str__(self) -> str:
        count = f"{self.least} or more" if self.count is None else f"{self.count}"
        return f"({count} values, each {self.of}{', no two alike' if self.apart else ''})"


class Anything:
    """Whatever whoever reads it accepts, but no number that is not finite."""

    def accepts(self, value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(map(self.accepts, value))
        return not isinstance(value, float) or _finite(value)

    def __str__(self) -> str:
        return "what configs/own_data.py says of it, and finite numbers"


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)
