"""A policy server in a thread of the test's own process, on a real socket."""

import asyncio
import contextlib
import queue
import threading

from glam_jax.serve.server import PolicyServer

MAX_BYTES = 20_000


@contextlib.contextmanager
def running(service, token=None, max_clients=20, message_s=5.0):
    """(server, port), up inside of the context."""
    server = PolicyServer(
        service,
        token,
        max_message_bytes=MAX_BYTES,
        max_clients=max_clients,
        message_s=message_s,
    )
    ports, loop = queue.Queue(), asyncio.new_event_loop()
    task = loop.create_task(server.run("127.0.0.1", 0, lambda _, port: ports.put(port)))

    def work():
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield server, ports.get(timeout=30)
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
