"""Hostile clients of a policy server, one kind at a time, and what a good client notices of them.

    python tests/attacks.py [KIND ...] [--seconds=2]

Serves a tiny policy as a user would, in a process of its own. For each kind prints the worst
answer (ms) that a good client had just before, the worst and the median beside the attacker, the
most that the server computed (ms, of all its threads) until an answer, the worst of /healthz, and
the most memory of the server as a share of what it had at first. Times are those of the quietest of
three windows, see `answers`. On a machine that is busy otherwise the time computed says more.
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import msgpack
import numpy as np
import tiny_policy
import websockets.exceptions
import websockets.sync.client

from glam_jax.client import PolicyClient, wire

ROOT = pathlib.Path(__file__).parents[1]
MEGA = 1_000_000
WINDOWS = 3
TEXT, BINARY, CONTINUED, PING = 1, 2, 0, 9


def frame(kind: int, data: bytes = b"", last: bool = True, says: int | None = None) -> bytes:
    """A client's frame; it may say another size than it has."""
    size = len(data) if says is None else says
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([0x80 * last | kind]) + length + bytes(4) + data


def array(**changes) -> dict:
    """An array as it is sent, with parts that may contradict each other."""
    parts = {"__ndarray__": True, "data": bytes(8), "dtype": "<f4", "shape": [2]} | changes
    return {key.encode(): value for key, value in parts.items()}


def observation(**changes) -> bytes:
    return wire.pack(tiny_policy.observation(0) | changes)


def nested(deep: int, wide: int) -> bytes:
    """Lists in lists, each with numbers before the next."""
    head = b"\xdc" + struct.pack("!H", wide + 1) + b"\x01" * wide
    return b"\x81\xa5image" + head * deep + b"\x01"


# Messages that cost more than they weigh.
MESSAGES: dict[str, Callable[[], bytes]] = {
    "texts of unequal length": lambda: observation(image_front=["a" * MEGA] + ["b"] * 250),
    "two million lists": lambda: observation(image_front=[[]] * (2 * MEGA)),
    "a million pairs": lambda: observation(image_front=[[1, 2]] * MEGA),
    "a list as reset": lambda: observation(reset=[1] * 1_900_000),
    "a long shape": lambda: observation(image_front=array(shape=[1] * 3_900_000)),
    "many dimensions as reset": lambda: observation(reset=np.zeros([6] * 8, np.uint8)),
    "a long name": lambda: msgpack.packb({b"\x00" * (4 * MEGA): 1}),
    "lists in lists": lambda: nested(1000, 4000),
    "a map of many names": lambda: msgpack.packb({str(i): None for i in range(400_000)}),
    "an empty message": lambda: wire.pack({}),
    "too large": lambda: bytes(8 * MEGA),
    "a good message": observation,
}


@contextlib.contextmanager
def joined(port: int) -> Iterator[websockets.sync.client.ClientConnection]:
    """A connection that got the metadata."""
    with websockets.sync.client.connect(
        f"ws://127.0.0.1:{port}", compression=None, max_size=None, ping_interval=None
    ) as made:
        made.recv(timeout=60)
        yield made


def send_again_and_again(message: bytes, port: int) -> None:
    with joined(port) as connection:
        while True:
            connection.send(message)
            connection.recv(timeout=60)


def raw(port: int) -> socket.socket:
    """A socket on which the handshake is done and nothing is ever read."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    made.recv(12)
    return made


def pour(first: bytes, again: bytes, port: int) -> None:
    """Sends without reading, 200 MB at most, and stays."""
    with raw(port) as connection:
        connection.sendall(first)
        block = again * (MEGA // len(again))
        for _ in range(200):
            connection.sendall(block)
        time.sleep(60)


def half_sent(count: int, port: int) -> None:
    """Connections that each keep a message unfinished."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(raw(port))
            connection.sendall(frame(BINARY, bytes(7 * MEGA), says=8 * MEGA))
        time.sleep(60)


def drip(port: int) -> None:
    """A message that never ends, a part at a time."""
    with raw(port) as connection:
        connection.sendall(frame(BINARY, bytes(7 * MEGA), last=False))
        while True:
            connection.sendall(frame(CONTINUED, bytes(1), last=False))
            time.sleep(0.01)


def knock(port: int) -> None:
    """Connections one after the other."""
    while True:
        raw(port).close()


def many_at_the_door(port: int) -> None:
    """Connections that never say what they want."""
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(60)


def get(path: str, port: int) -> None:
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            response.read()


def in_parallel(count: int, message: bytes, port: int) -> None:
    """Several connections of one attacker that are refused as fast as they can be."""
    threads = [
        threading.Thread(target=send_again_and_again, args=(message, port), daemon=True)
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def attack(kind: str, port: int) -> None:
    """One connection's attack, until it is dropped."""
    others = {
        "pings of 125 bytes": lambda: pour(b"", frame(PING, bytes(125)), port),
        "empty pings": lambda: pour(b"", frame(PING), port),
        "empty parts": lambda: pour(frame(BINARY, last=False), frame(CONTINUED, last=False), port),
        "replies never read": lambda: pour(b"", frame(BINARY, observation()), port),
        "empty messages never read": lambda: pour(b"", frame(BINARY), port),
        "half sent": lambda: half_sent(1, port),
        "half sent, 40 times": lambda: half_sent(40, port),
        "in small parts": lambda: drip(port),
        "refused, 8 at once": lambda: in_parallel(8, wire.pack({}), port),
        "connecting": lambda: knock(port),
        "400 at the door": lambda: many_at_the_door(port),
        "/stats": lambda: get("/stats", port),
    }
    if kind in MESSAGES:
        send_again_and_again(MESSAGES[kind](), port)
    else:
        others[kind]()


OTHERS = (
    "pings of 125 bytes", "empty pings", "empty parts", "replies never read",
    "empty messages never read", "half sent", "half sent, 40 times", "in small parts",
    "refused, 8 at once", "connecting", "400 at the door", "/stats",
)  # fmt: skip
KINDS = (*MESSAGES, *OTHERS)


def attack_until_stopped(kind: str, port: int) -> None:
    """Whoever is dropped comes back. Behind the others, as if it had a computer of its own."""
    os.nice(7)
    while True:
        with contextlib.suppress(OSError, EOFError, websockets.exceptions.WebSocketException):
            attack(kind, port)
        time.sleep(0.01)


@contextlib.contextmanager
def serving(folder: pathlib.Path, *words: str) -> Iterator[tuple[int, int]]:
    """(process, port) of a server as a user starts it, on a tiny policy."""
    tiny_policy.save(folder)
    command = [sys.executable, "-m", "glam_jax.serve", f"--workdir={folder}", "--port=0", *words]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            line = server.stdout.readline()
            found = re.search(r"ws://127.0.0.1:(\d+)", line)
            if not found:
                raise RuntimeError(f"the server did not start: {line}")
            threading.Thread(target=server.stdout.read, daemon=True).start()
            yield server.pid, int(found[1])
        finally:
            server.terminate()


def memory(process: int, name: str) -> float:
    """MB that a process has (VmRSS), or had at most (VmHWM) since `forget`."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1000


def forget(process: int) -> None:
    """Begins anew what VmHWM is the most of."""
    pathlib.Path(f"/proc/{process}/clear_refs").write_text("5")


def times(ask: Callable[[], object], until: float) -> list[float]:
    """ms of each call, with pauses as between the chunks of a robot."""
    found = []
    while time.monotonic() < until:
        began = time.perf_counter()
        ask()
        found.append(1e3 * (time.perf_counter() - began))
        time.sleep(0.01)
    return found


def computed(process: int) -> float:
    """ms that all threads of a process were on a core: Linux's clock of another process."""
    return 1e3 * time.clock_gettime((~process << 3) | 2)


def answers(client: PolicyClient, process: int, port: int, seconds: float) -> dict[str, float]:
    """`worst` and `median` of a good client's answers, `computed`, the most that the server did
    until one, and `health`, the worst of /healthz, in ms.

    Each of the window that had the least, of WINDOWS: an attack that costs time costs it in each,
    what else a machine is busy with does not.
    """
    seen, windows = tiny_policy.observation(3), []
    wanted = client.infer(seen, reset=True)["actions"]

    def ask():
        began = computed(process)
        found = client.infer(seen, reset=True)["actions"]
        work.append(computed(process) - began)
        np.testing.assert_array_equal(found, wanted)

    def healthy():
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60).read()

    for _ in range(WINDOWS):
        until = time.monotonic() + seconds
        health: list[float] = []
        work: list[float] = []
        watch = threading.Thread(target=lambda: health.extend(times(healthy, until)))  # noqa: B023
        watch.start()
        asked = times(ask, until)
        watch.join()
        windows.append((max(asked), statistics.median(asked), max(work), max(health)))
    names = ("worst", "median", "computed", "health")
    return {name: min(window[i] for window in windows) for i, name in enumerate(names)}


def measure(kind: str | None, process: int, port: int, seconds: float) -> dict[str, float]:
    """What a good client notices of one kind of attacker, or of none.

    Returns:
      see `answers`; `alone`, `worst` without the attacker; and `memory`, the server's most, MB.
    """
    with PolicyClient(port=port, timeout=60) as client:
        alone = answers(client, process, port, seconds)["worst"]
        forget(process)
        spawn = multiprocessing.get_context("spawn")
        attacker = spawn.Process(target=attack_until_stopped, args=(kind, port), daemon=True)
        if kind:
            attacker.start()
            time.sleep(2)  # imports
        found = answers(client, process, port, seconds)
        most = memory(process, "VmHWM")
        if kind:
            attacker.kill()
            attacker.join()
    return {"alone": alone, **found, "memory": most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    names = ("alone", "worst", "median", "computed", "health", "memory")
    print(f"{'attacker':<28}" + "".join(f"{name:>9}" for name in names))
    kinds = ("nobody", *given.kinds, "nobody")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(pathlib.Path(folder) / "run") as (process, port),
    ):
        before = None
        for kind in kinds:
            found = measure(None if kind == "nobody" else kind, process, port, given.seconds)
            before = before or found["memory"]
            found["memory"] /= before
            row = "".join(f"{found[name]:>9.2f}" for name in names)
            print(f"{kind:<28}{row}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
