"""Which episodes of a foreign dataset are used: by number, length, success and instruction."""

import collections
import re
from collections.abc import Iterator

from glam_jax.errors import DataError
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.readers import Reader


class Plan:
    """Which episodes of a foreign dataset are trained on, and which are kept apart.

    Attributes:
      train_count, heldout_count: how many are wanted. left_out: reason -> number of those not used.
    """

    def __init__(self, reader: Reader, keys: KeyMap, count: int | None, heldout: int | None):
        """As for `ingest.ingest`.

        Raises:
          DataError: the dataset has fewer episodes than are wanted.
        """
        self._split, self._apart = keys.split, keys.heldout_split or keys.split
        self._chosen, self.left_out = {}, {}
        for split in dict.fromkeys((self._split, self._apart)):
            self._chosen[split], left = chosen(reader, keys, split)
            for reason, number in left.items():
                self.left_out[reason] = self.left_out.get(reason, 0) + number
        available, apart = (len(self._chosen[s]) for s in (self._split, self._apart))
        one = self._apart == self._split
        if heldout is None:
            heldout = apart if keys.heldout_split and not one else 0
        if count is None:
            count = max(1, available - (heldout if one else 0))
        self.train_count, self.heldout_count = count, heldout
        needed = {self._split: count, self._apart: heldout}
        if one:
            needed = {self._split: count + heldout}
        for split, number in needed.items():
            if (found := len(self._chosen[split])) < number:
                text = f", left out are {describe(self.left_out)}" if self.left_out else ""
                raise DataError(
                    f"{reader.folder}: split {split!r} has {found} episodes{text}; "
                    f"{number} are wanted ({count} for training, {heldout} held out)"
                )
        self._used: set[int] = set()

    def wanted(self) -> list[tuple[str, list[int]]]:
        """(split, numbers of the episodes) of what is read if none is bad."""
        held = self._chosen[self._apart][len(self._chosen[self._apart]) - self.heldout_count :]
        return [(self._split, self._chosen[self._split][: self.train_count]), (self._apart, held)]

    def train(self) -> tuple[str, Iterator[int], int]:
        """(split, numbers of the episodes to try in order, how many are wanted)."""

        def order():
            chosen = self._chosen[self._split]
            for index in chosen[: len(chosen) - self.heldout_count * self._shared]:
                self._used.add(index)
                yield index

        return self._split, order(), self.train_count

    def heldout(self) -> tuple[str, Iterator[int], int]:
        """As `train`: the last ones in order, and if some are bad, those before that are free."""

        def order():
            chosen = self._chosen[self._apart]
            last = len(chosen) - self.heldout_count
            for index in [*chosen[last:], *reversed(chosen[:last])]:
                if not self._shared or index not in self._used:
                    yield index

        return self._apart, order(), self.heldout_count

    @property
    def _shared(self) -> bool:
        return self._apart == self._split


def numbers(text: str, count: int) -> list[int]:
    """Episodes such as `0:50,60` of so many; all for "". Like Python's slices from below to.

    Raises:
      DataError: text of another form, or an episode that is not there.
    """
    if not text:
        return list(range(count))
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:(:)(\d*))?\s*", part)
        if not match:
            raise DataError(f"episodes is {text!r}, expected numbers and from:to, such as 0:50,60")
        start = int(match[1])
        stop = start + 1 if not match[2] else int(match[3]) if match[3] else count
        if start >= count or stop > count:
            raise DataError(f"episodes is {text!r}, but there are {count}: 0 to {count - 1}")
        found |= dict.fromkeys(range(start, stop))
    return list(found)


def chosen(reader: Reader, keys: KeyMap, split: str) -> tuple[list[int], dict[str, int]]:
    """Numbers of the episodes of a split that are used, and how many are left out, by reason.

    `KeyMap.episodes` is of `KeyMap.split` alone.

    Raises:
      DataError: see `numbers`; or none is left.
    """
    asked = keys.episodes if split == keys.split else ""
    indices, left = numbers(asked, reader.lengths[split]), collections.Counter()
    if (failed := bool(keys.success) and not keys.include_failed) or any(
        (keys.text_has, keys.min_steps, keys.max_steps)
    ):
        kept = []
        for index in indices:
            try:
                about = reader.facts(split, index)
            except DataError:
                kept.append(index)  # a bad episode, which conversion refuses or skips
                continue
            if failed and not about.success:
                left["failed"] += 1
            elif keys.text_has and keys.text_has.lower() not in about.text.lower():
                left["another instruction"] += 1
            elif about.steps < keys.min_steps:
                left["too short"] += 1
            elif keys.max_steps and about.steps > keys.max_steps:
                left["too long"] += 1
            else:
                kept.append(index)
        indices = kept
    if not indices:
        found = describe(left)
        raise DataError(f"{reader.folder}, split {split!r}: no episode is left; {found}")
    return indices, dict(left)


def describe(left: dict[str, int]) -> str:
    """What was left out, for a person."""
    return ", ".join(f"{number} {reason}" for reason, number in left.items())
