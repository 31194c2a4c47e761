"""What a server replies, checked before an arm carries it out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .wire import shown

# How far beyond a limit rounding may lead, as a share of the limit or of 1, whichever is larger.
TOLERANCE = 1e-5


class PolicyError(RuntimeError):
    """There are no actions for an observation; says why. The connection goes on."""


class ReplyError(PolicyError):
    """The server sent actions that no arm should carry out."""


class ActionCheck:
    """What the actions of a server must be, by its metadata.

    Finite numbers (n, A) with n from 1 to `execute`; A is `action_dim`, and all lie between
    `action_low` and `action_high` (A,). What the metadata leaves out is not checked.
    """

    def __init__(self, metadata: dict[str, Any]):
        """Raises ValueError for metadata that contradict themselves."""
        self._width, self._most = (self._size(metadata, n) for n in ("action_dim", "execute"))
        self._low = self._limit(metadata, "action_low", -1.0)
        self._high = self._limit(metadata, "action_high", 1.0)

    def _size(self, metadata: dict[str, Any], name: str) -> int | None:
        size = metadata.get(name)
        if size is not None and (type(size) is not int or size < 1):
            raise ValueError(f"{name} is {shown(size)}; expected a positive number")
        return size

    def _limit(self, metadata: dict[str, Any], name: str, outwards: float) -> np.ndarray | None:
        if metadata.get(name) is None:
            return None
        limit = _array(metadata[name])
        shaped = limit is not None and limit.ndim == 1 and self._width in (None, len(limit))
        if not shaped or not limit.size or np.isnan(limit).any():
            wanted = f"{self._width or 'some'} numbers"
            raise ValueError(f"{name} is {shown(metadata[name])}; expected {wanted}")
        self._width = len(limit)
        return limit + outwards * TOLERANCE * np.maximum(1.0, np.abs(limit))

    def actions(self, reply: Any) -> np.ndarray:
        """The actions (n, A) of a reply, the caller's own.

        Raises:
          ReplyError: there are none, or they are not as described above.
        """
        if not isinstance(reply, dict) or "actions" not in reply:
            found = list(reply) if isinstance(reply, dict) else reply
            raise ReplyError(f"found {shown(found)}; expected a reply with actions")
        found = _array(reply["actions"])
        if found is None:
            raise ReplyError(f"actions: found {shown(reply['actions'])}; expected real numbers")
        shaped = found.ndim == 2 and found.size and self._width in (None, found.shape[1])
        if not shaped or len(found) > (self._most or len(found)):
            most = f" to {self._most}" if self._most else " or more"
            wanted = f"(n, {self._width or 'A'}), n 1{most}"
            raise ReplyError(f"actions: found shape {found.shape}; expected {wanted}")
        self._check_values(found)
        return found

    def _check_values(self, actions: np.ndarray) -> None:
        low = np.full(actions.shape[1], -np.inf) if self._low is None else self._low
        high = np.full(actions.shape[1], np.inf) if self._high is None else self._high
        wrong = ~(np.isfinite(actions) & (actions >= low) & (actions <= high))
        if wrong.any():
            row, i = (int(index) for index in np.argwhere(wrong)[0])
            raise ReplyError(
                f"actions[{row}, {i}]: found {actions[row, i]:.6g}; "
                f"expected a finite number from {low[i]:.6g} to {high[i]:.6g}"
            )


def _array(value: Any) -> np.ndarray | None:
    """A copy as an array of real numbers; None for anything else."""
    if not _is_numeric(value):
        return None
    try:
        array = np.array(value)
    except ValueError:  # ragged
        return None
    return array if array.dtype.kind in "fiu" else None


def _is_numeric(value: Any, deep: int = 2) -> bool:
    """Whether there are numbers alone: numpy would make much of a few texts."""
    if isinstance(value, list):
        return deep > 0 and all(_is_numeric(one, deep - 1) for one in value)
    return isinstance(value, (np.ndarray, np.generic, int, float))


def said(text: str) -> str:
    """A server's words in one short line: the last, which in a traceback says what happened."""
    lines = text[-2000:].strip().splitlines() or ["no reason given"]
    return " ".join(lines[-1].split())[:300]
