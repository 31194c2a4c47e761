"""Receding horizon on the robot's side: one action for each control step."""

from __future__ import annotations

from typing import Any

import numpy as np

from .policy_client import PolicyClient
from .reply import ReplyError


class Actor:
    """Carries out the head of each chunk before it asks again.

    With a server that ensembles, a reply is one action and every step asks.
    """

    def __init__(self, client: PolicyClient, execute: int | None = None):
        """
        Args:
          client: the connection.
          execute: actions of a reply that are carried out; all of them if None.

        Raises:
          ValueError: `execute` is not positive.
        """
        if execute is not None and execute < 1:
            raise ValueError(f"execute is {execute}; expected at least 1")
        self._client, self._execute = client, execute
        self.reset()

    def reset(self) -> None:
        """Begins an episode: what is left of a chunk is dropped."""
        self._actions, self._next, self._begins = np.zeros((0, 0)), 0, True

    @property
    def asks(self) -> bool:
        """Whether the next `act` sends its observation; else it may be anything, None as well."""
        return self._next >= len(self._actions)

    def act(self, observation: dict[str, Any] | None) -> np.ndarray:
        """The action (A,) of this control step; see `PolicyClient.infer` for what it raises.

        After an error `asks` is true: the next call sends its observation.
        """
        if self.asks:
            executed = None if self._begins else self._next
            try:
                reply = self._client.infer(observation, reset=self._begins, executed=executed)
            except ReplyError:
                # The server counts from its last reply, of which nothing was carried out.
                self._actions, self._next = self._actions[:0], 0
                raise
            self._actions = np.asarray(reply["actions"])[: self._execute]
            self._next, self._begins = 0, False
        self._next += 1
        return self._actions[self._next - 1]
