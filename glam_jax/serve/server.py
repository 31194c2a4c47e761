"""A policy over WebSocket, in the protocol of openpi's client.

    client  GET /  with  Authorization: Api-Key TOKEN   (no token needed on loopback)
    server  metadata                                    msgpack, once
    client  observation                                 msgpack, then again and again
    server  {"actions", "clipped", "server_timing"}     msgpack; or text: why it was refused

An observation that is refused leaves the connection open, one above the size limit as well. Only a
message above OVERSIZE times the limit is not read to its end, so that it cannot fill the memory: it
ends its connection (close code 1009, with the size), and no one else's. Plain HTTP: /healthz says
OK once warmed up, /stats gives counts and latencies as JSON.
"""

import asyncio
import concurrent.futures
import contextlib
import hmac
import http
import ipaddress
import json
import signal
import time
from collections.abc import Callable

import websockets.asyncio.server
import websockets.exceptions
from absl import logging

from glam_jax.client import wire
from glam_jax.serve.service import SettingsError
from glam_jax.serve.session import Service, Session

HEALTH, STATS = "/healthz", "/stats"
OVERSIZE = 4


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
    it would get alone.
    """

    def __init__(
        self, service: Service, token: str | None, *, max_message_bytes: int, max_clients: int
    ):
        self._service, self._token = service, token
        self._max_message_bytes, self._max_clients = max_message_bytes, max_clients
        self._clients = 0
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
        async with server:
            ready(host, server.sockets[0].getsockname()[1])
            await stop.wait()

    def _listen(self, host: str, port: int):
        return websockets.asyncio.server.serve(
            self._talk,
            host,
            port,
            process_request=self._admit,
            # Browsers name their origin: no web page may drive a robot through a loopback port.
            origins=[None],
            compression=None,
            max_size=OVERSIZE * self._max_message_bytes,
            max_queue=1,
        )

    def stats(self) -> dict:
        """Counts, latencies and the number of clients."""
        return {"clients": self._clients, **self._service.meter.read()}

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
        if self._clients >= self._max_clients:
            self._service.meter.refused("clients")
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._clients} clients are connected, and no more are taken\n",
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
        self._clients += 1
        try:
            session = Session(self._service)
            await connection.send(wire.pack(self._service.metadata))
            loop = asyncio.get_running_loop()
            async for message in connection:
                arrived = time.perf_counter()
                if len(message) > self._max_message_bytes:
                    await connection.send(self._too_large(len(message)))
                    continue
                reply = await loop.run_in_executor(self._worker, session.answer, message, arrived)
                await connection.send(reply)
        except websockets.exceptions.ConnectionClosed as closed:
            ours = closed.sent is not None and not closed.rcvd_then_sent
            if ours and closed.sent.code == 1009:
                self._service.meter.refused("size")
            logging.info("a client left: %s", closed)
        finally:
            self._clients -= 1

    def _too_large(self, size: int) -> str:
        self._service.meter.refused("size")
        return (
            f"message refused: found {size} bytes; expected at most {self._max_message_bytes} "
            "(--config.max_message_bytes)"
        )
