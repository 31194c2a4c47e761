"""One connection to a policy server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import websockets.exceptions
import websockets.sync.client

from . import wire


class PolicyError(RuntimeError):
    """The server refused an observation; the connection goes on."""


class PolicyClient:
    """Sends observations and receives action chunks, one at a time.

    There is no reconnecting behind the caller's back: what to do with an arm whose policy has
    gone silent is the caller's to decide.

    Attributes:
      metadata: what the server says of itself: `observation` (name -> shape and dtype),
        `action_dim`, `execute` (actions in a reply), `control_hz`, ...
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = 8000,
        token: str | None = None,
        timeout: float = 10.0,
    ):
        """Connects and reads the metadata.

        Args:
          host: a name or address, or a whole address such as wss://robots.example/policy.
          port: the server's port; None if `host` has it.
          token: the server's token, if it wants one.
          timeout: seconds to wait for the connection, and for each reply.

        Raises:
          PermissionError: wrong or missing token.
          ConnectionError: there is no server, or it takes no more clients.
        """
        address = host if host.startswith(("ws://", "wss://")) else f"ws://{host}"
        self._address = address if port is None else f"{address}:{port}"
        self._timeout = timeout
        self._open = ExitStack()
        headers = {"Authorization": f"Api-Key {token}"} if token else None
        try:
            connection = websockets.sync.client.connect(
                self._address,
                additional_headers=headers,
                compression=None,
                max_size=None,
                open_timeout=timeout,
            )
            self._socket = self._open.enter_context(connection)
        except websockets.exceptions.InvalidStatus as refused:
            status, body = refused.response.status_code, refused.response.body or b""
            kind = PermissionError if status == 401 else ConnectionError
            said = body.decode(errors="replace").strip()
            raise kind(f"{self._address}: {status}, {said}") from None
        except (OSError, websockets.exceptions.WebSocketException) as error:
            raise ConnectionError(f"{self._address}: {error}") from None
        self.metadata = wire.unpack(self._receive())

    def infer(
        self, observation: dict[str, Any], *, reset: bool = False, executed: int | None = None
    ) -> dict[str, Any]:
        """The server's reply to one observation.

        Args:
          observation: name -> array, physical units; see `metadata["observation"]`.
          reset: an episode begins: the server forgets what it has sent before.
          executed: how many actions of the last reply were carried out, if not all; the speed
            limit goes on from the last of them.

        Returns:
          `actions` (execute, A), `clipped` (counts) and `server_timing` (ms).

        Raises:
          PolicyError: the observation was refused; says why.
          ConnectionError, TimeoutError: no reply.
        """
        message = dict(observation)
        if reset:
            message["reset"] = True
        if executed is not None:
            message["executed"] = int(executed)
        try:
            self._socket.send(wire.pack(message))
        except websockets.exceptions.ConnectionClosed as error:
            raise ConnectionError(f"{self._address}: {error}") from None
        reply = self._receive()
        if isinstance(reply, str):
            raise PolicyError(reply)
        return wire.unpack(reply)

    def _receive(self):
        try:
            return self._socket.recv(timeout=self._timeout)
        except websockets.exceptions.ConnectionClosed as error:
            raise ConnectionError(f"{self._address}: {error}") from None
        except TimeoutError:
            # A reply that comes late would be taken for the answer to the next observation.
            self.close()
            raise TimeoutError(f"{self._address}: no reply in {self._timeout} s") from None

    def close(self) -> None:
        """Ends the connection."""
        self._open.close()

    def __enter__(self) -> PolicyClient:
        return self

    def __exit__(self, *error) -> None:
        self.close()
