"""A policy over WebSocket, in the protocol of openpi's client.

    client  GET /  with  Authorization: Api-Key TOKEN   (no token needed on loopback)
    server  metadata                                    msgpack, once
    client  observation                                 msgpack, then again and again
    server  {"actions", "clipped", "server_timing"}     msgpack; or text: why it was refused

An observation that is refused leaves the connection open, one above the size limit as well. Only a
message above OVERSIZE times the limit is not read to its end, so that it cannot fill the memory: it
ends its connection (close code 1009, with the size), and no one else's. So does what `connection`
does not let pass. Plain HTTP: /healthz says OK once warmed up, /stats gives counts and latencies as
JSON.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import hmac
import http
import ipaddress
import itertools
import json
import signal
import time
from collections.abc import Callable

import websockets.asyncio.server
import websockets.exceptions
from absl import logging

from glam_jax.client import wire
from glam_jax.serve.connection import Connection
from glam_jax.serve.service import SettingsError
from glam_jax.serve.session import Service, Session

HEALTH, STATS = "/healthz", "/stats"
OVERSIZE = 2
# Messages of the largest size that the clients' unfinished and waiting ones may hold together.
HELD = 8
# Who was refused so often in a row is answered after all others, and not sooner than after a rest.
PATIENCE, REST_S = 3, 0.05


def check_exposure(host: str, token: str | None) -> None:
    """Raises SettingsError for a server that others could reach without a token."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost" and not token:
        raise SettingsError(
            f"--host={host} can be reached from other computers, which needs a token: "
            "give --token_file, or set GLAM_JAX_TOKEN"
        )


class PolicyServer:
    """Serves one policy to several clients.

    Requests of all clients are answered one after the other, in the order in which they come in,
    by one thread: a policy fills the device by itself, and each client's actions are those that
    it would get alone. Clients that are refused again and again wait behind the others.
    """

    def __init__(
        self,
        service: Service,
        token: str | None,
        *,
        max_message_bytes: int,
        max_clients: int,
        message_s: float,
    ):
        self._service, self._token = service, token
        self._max_message_bytes, self._max_clients = max_message_bytes, max_clients
        self._message_s = message_s
        self._clients: set[Connection] = set()
        # (refused again and again, number, (session, message, arrived), future of the reply)
        self._waiting = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._worker = concurrent.futures.ThreadPoolExecutor(1, "policy")

    async def run(self, host: str, port: int, ready: Callable[[str, int], None]) -> None:
        """Serves until SIGINT or SIGTERM, or until it is cancelled.

        Args:
          host, port: where to listen; port 0 takes a free one.
          ready: called with both once connections are taken.

        Raises:
          SettingsError: the address cannot be had, or is open to others without a token.
        """
        check_exposure(host, self._token)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        # Only the main thread may handle signals; elsewhere the caller cancels.
        with contextlib.suppress(RuntimeError, ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
        try:
            server = await self._listen(host, port)
        except OSError as error:
            raise SettingsError(f"cannot listen on {host}:{port}: {error}") from None
        answering = asyncio.create_task(self._answer_all())
        try:
            async with server:  # ends when all that wait are answered
                ready(host, server.sockets[0].getsockname()[1])
                await stop.wait()
        finally:
            answering.cancel()

    def _listen(self, host: str, port: int):
        return websockets.asyncio.server.serve(
            self._talk,
            host,
            port,
            process_request=self._admit,
            # Browsers name their origin: no web page may drive a robot through a loopback port.
            origins=[None],
            create_connection=functools.partial(
                Connection,
                message_s=self._message_s,
                max_held=HELD * self._max_message_bytes,
                everyone=lambda: self._clients,
                dropped=self._service.meter.refused,
            ),
            compression=None,
            max_size=OVERSIZE * self._max_message_bytes,
            max_queue=0,
        )

    def stats(self) -> dict:
        """Counts, latencies and the number of clients."""
        return {"clients": len(self._clients), **self._service.meter.read()}

    def _admit(self, connection, request):
        """Answers what is not for the policy; None lets a client in."""
        path = request.path.partition("?")[0]
        if path == HEALTH:
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if not self._knows_token(request.headers):
            self._service.meter.refused("token")
            return connection.respond(
                http.HTTPStatus.UNAUTHORIZED, "wrong or missing token (Authorization: Api-Key)\n"
            )
        if path == STATS:
            response = connection.respond(http.HTTPStatus.OK, json.dumps(self.stats()) + "\n")
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
            return response
        if len(self._clients) >= self._max_clients:
            self._service.meter.refused("clients")
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"{len(self._clients)} clients are connected, and no more are taken\n",
            )
        return None

    def _knows_token(self, headers) -> bool:
        if not self._token:
            return True
        given = headers.get_all("Authorization")
        expected = f"Api-Key {self._token}".encode()
        return len(given) == 1 and hmac.compare_digest(
            given[0].encode(errors="surrogateescape"), expected
        )

    async def _talk(self, connection) -> None:
        self._clients.add(connection)
        refused = 0  # in a row
        try:
            session = Session(self._service)
            await connection.send(wire.pack(self._service.metadata))
            async for message in connection:
                arrived = time.perf_counter()
                if refused >= PATIENCE:
                    await asyncio.sleep(REST_S)
                if len(message) > self._max_message_bytes:
                    reply = self._too_large(len(message))
                else:
                    reply = await self._answer(refused >= PATIENCE, session, message, arrived)
                refused = refused + 1 if isinstance(reply, str) else 0
                del message  # the next may be as large
                await connection.send(reply)
        except websockets.exceptions.ConnectionClosed as closed:
            ours = closed.sent is not None and not closed.rcvd_then_sent
            if ours and closed.sent.code == 1009:
                self._service.meter.refused("size")
            logging.info("a client left: %s", closed)
        finally:
            self._clients.discard(connection)

    async def _answer(self, last: bool, *request) -> bytes | str:
        """The reply to a (session, message, arrived), when its turn has come."""
        reply = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((last, next(self._numbers), request, reply))
        return await reply

    async def _answer_all(self) -> None:
        """Answers whoever waits, one after the other."""
        loop = asyncio.get_running_loop()
        while True:
            _, _, (session, message, arrived), reply = await self._waiting.get()
            found = await loop.run_in_executor(self._worker, session.answer, message, arrived)
            if not reply.done():  # the server may be about to end
                reply.set_result(found)

    def _too_large(self, size: int) -> str:
        self._service.meter.refused("size")
        return (
            f"message refused: found {size} bytes; expected at most {self._max_message_bytes} "
            "(--config.max_message_bytes)"
        )
