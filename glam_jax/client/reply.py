"""What a server replies, checked before an arm carries it out."""

from __future__ import annotations

from typing import Any

import numpy as np

# How far beyond a limit rounding may lead, as a share of the limit or of 1, whichever is larger.
TOLERANCE = 1e-5


class PolicyError(RuntimeError):
    """There are no actions for an observation; says why. The connection goes on."""


class ReplyError(PolicyError):
    """The server sent actions that no arm should carry out."""


class ActionCheck:
    """What the actions of a server must be, by its metadata.

    Finite numbers (n, A) with n at least 1; A is `action_dim`, and all lie between `action_low` and
    `action_high` (A,). What the metadata leaves out is not checked.
    """

    def __init__(self, metadata: dict[str, Any]):
        """Raises ValueError for metadata that contradict themselves."""
        self._width = metadata.get("action_dim")
        if self._width is not None and (type(self._width) is not int or self._width < 1):
            raise ValueError(f"action_dim is {_shown(self._width)}; expected a positive number")
        self._low = self._limit(metadata, "action_low", -1.0)
        self._high = self._limit(metadata, "action_high", 1.0)

    def _limit(self, metadata: dict[str, Any], name: str, outwards: float) -> np.ndarray | None:
        if metadata.get(name) is None:
            return None
        limit = _array(metadata[name])
        shaped = limit is not None and limit.ndim == 1 and self._width in (None, len(limit))
        if not shaped or not limit.size or np.isnan(limit).any():
            wanted = f"{self._width or 'some'} numbers"
            raise ValueError(f"{name} is {_shown(metadata[name])}; expected {wanted}")
        self._width = len(limit)
        return limit + outwards * TOLERANCE * np.maximum(1.0, np.abs(limit))

    def actions(self, reply: Any) -> np.ndarray:
        """The actions (n, A) of a reply, the caller's own.

        Raises:
          ReplyError: there are none, or they are not as described above.
        """
        if not isinstance(reply, dict) or "actions" not in reply:
            found = list(reply) if isinstance(reply, dict) else reply
            raise ReplyError(f"found {_shown(found)}; expected a reply with actions")
        found = _array(reply["actions"])
        if found is None:
            raise ReplyError(f"actions: found {_shown(reply['actions'])}; expected real numbers")
        if found.ndim != 2 or not found.size or self._width not in (None, found.shape[1]):
            wanted = f"(n, {self._width or 'A'}), n > 0"
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
    try:
        array = np.array(value)
    except ValueError:  # ragged
        return None
    return array if array.dtype.kind in "fiu" else None


def _shown(value: Any) -> str:
    """What a value is, in one short line."""
    return " ".join(repr(value).split())[:60]
