"""One connection to a policy server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import websockets.exceptions
import websockets.sync.client

from . import wire
from .reply import ActionCheck, PolicyError, ReplyError, said

# A chunk of actions has kilobytes.
MAX_REPLY_BYTES = 4 << 20


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
          ConnectionError: there is no policy server, or it takes no more clients.
          TimeoutError: it says nothing.
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
                max_size=MAX_REPLY_BYTES,
                open_timeout=timeout,
            )
            self._socket = self._open.enter_context(connection)
        except websockets.exceptions.InvalidStatus as refused:
            status, body = refused.response.status_code, refused.response.body or b""
            kind = PermissionError if status == 401 else ConnectionError
            reason = said(body.decode(errors="replace"))
            raise kind(f"{self._address}: {status}, {reason}") from None
        except (OSError, websockets.exceptions.WebSocketException) as error:
            raise ConnectionError(f"{self._address}: {error}") from None
        try:
            self.metadata, self._check = self._metadata(self._receive())
        except Exception:
            self.close()
            raise

    def _metadata(self, message: bytes | str) -> tuple[dict[str, Any], ActionCheck]:
        try:
            if isinstance(message, str):
                raise ValueError(f"found the text {said(message)!r}")
            metadata = wire.unpack(message)
            if not isinstance(metadata, dict):
                raise ValueError(f"found {type(metadata).__name__}")
            return metadata, ActionCheck(metadata)
        except ValueError as error:
            wanted = "expected the metadata of a policy server"
            raise ConnectionError(f"{self._address}: {error}; {wanted}") from None

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
          `actions` (execute, A), finite and within the server's limits, `clipped` (counts) and
          `server_timing` (ms).

        Raises:
          PolicyError: the observation was refused; says why.
          ReplyError: a PolicyError as well: the reply has no such actions.
          ConnectionError, TimeoutError: no reply, or one above MAX_REPLY_BYTES; the connection is
            over.
        """
        message = dict(observation)
        if reset:
            message["reset"] = True
        if executed is not None:
            message["executed"] = int(executed)
        try:
            self._socket.send(wire.pack(message))
        except websockets.exceptions.ConnectionClosed as error:
            raise self._ended(error) from None
        reply = self._receive()
        if isinstance(reply, str):
            raise PolicyError(said(reply))
        try:
            reply = wire.unpack(reply)
        except wire.WireError as error:
            raise ReplyError(f"the reply cannot be read: {error}") from None
        actions = self._check.actions(reply)
        return {**reply, "actions": actions}

    def _receive(self):
        try:
            return self._socket.recv(timeout=self._timeout)
        except websockets.exceptions.ConnectionClosed as error:
            raise self._ended(error) from None
        except TimeoutError:
            # A reply that comes late would be taken for the answer to the next observation.
            self.close()
            raise TimeoutError(f"{self._address}: no reply in {self._timeout} s") from None

    def _ended(self, error: websockets.exceptions.ConnectionClosed) -> ConnectionError:
        ours = error.sent is not None and not error.rcvd_then_sent
        if ours and error.sent.code == 1009:
            return ConnectionError(f"{self._address}: a reply above {MAX_REPLY_BYTES} bytes")
        return ConnectionError(f"{self._address}: {error}")

    def close(self) -> None:
        """Ends the connection."""
        self._open.close()

    def __enter__(self) -> PolicyClient:
        return self

    def __exit__(self, *error) -> None:
        self.close()
