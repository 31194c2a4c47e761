"""Hostile messages at random: the server stays, keeps its memory, and answers others as before.

    pytest -n 0 -s tests/serve/test_hostile.py --hostile=2000

says of each kind of message how often it was sent and with what end.
"""

import collections
import json
import socket
import time
import urllib.request

import msgpack
import numpy as np
import pytest
import tiny_policy
import websockets.exceptions
from attacks import (
    BINARY,
    CONTINUED,
    MESSAGES,
    PING,
    TEXT,
    array,
    frame,
    joined,
    memory,
    observation,
    raw,
    serving,
)

from glam_jax.client import PolicyClient, wire
from glam_jax.serve.session import Session

SEED = 7
NAMES = ("image_front", "image_overhead", "ee_pose", "proprio", "prompt", "reset", "executed")
DTYPES = ("<f4", "|u1", "<f8", "|O", "<U9", "V8", "<M8[s]", ">i2", "|b1", "f4,f4", "?", 4, None)


def anything(rng: np.random.Generator, deep: int = 0):
    """A value that msgpack has a form for."""
    kind = rng.integers(0, 13 if deep < 4 else 9)
    count = int(10 ** rng.uniform(0, max(0.5, 3.5 - deep)))
    if kind < 9:
        return (
            None,
            bool(rng.integers(2)),
            int(rng.integers(-(2**63), 2**63 - 1)),
            float(rng.choice([np.nan, np.inf, -np.inf, 1e308, -0.0, 5e-324])),
            "é\n\x00"[int(rng.integers(3))] * count,
            rng.bytes(count),
            msgpack.ExtType(int(rng.integers(127)), rng.bytes(count % 100)),
            msgpack.Timestamp(int(rng.integers(2**32))),
            wrong_array(rng),
        )[kind]
    if kind < 11:
        return [anything(rng, deep + 1)] * count
    if kind < 12:
        return [anything(rng, deep + 1) for _ in range(min(count, 8))]
    return {f"{i}" if i % 2 else b"%d" % i: anything(rng, deep + 1) for i in range(min(count, 8))}


def wrong_array(rng: np.random.Generator) -> dict:
    """An array that may contradict itself."""
    shape = rng.choice([0, 1, 2, 16, 2**31, 2**62], int(rng.integers(0, 10))).tolist()
    dtype = DTYPES[rng.integers(len(DTYPES))]
    found = array(shape=shape, dtype=dtype, data=rng.bytes(int(rng.integers(0, 100))))
    if rng.integers(4) == 0:
        found.pop(list(found)[rng.integers(len(found))])
    if rng.integers(4) == 0:
        found |= {b"nd": True, b"type": dtype, b"kind": rng.choice([b"O", b"V", b""])}
        found.pop(b"__ndarray__", None)
    return found


def packed(value) -> bytes:
    return msgpack.packb(value, default=wire._pack_numpy)


def a_bit(rng):
    data = bytearray(observation(executed=0))
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def sixteen_bytes(rng):
    data = bytearray(observation(executed=0))
    place = int(rng.integers(len(data) - 16))
    data[place : place + 16] = rng.bytes(16)
    return bytes(data)


def cut_or_longer(rng):
    data = observation()
    return data[: rng.integers(len(data))] if rng.integers(2) else data + rng.bytes(5)


def another_value(rng):
    return packed(tiny_policy.observation(0) | {str(rng.choice(NAMES)): anything(rng)})


def other_numbers(rng):
    """Arrays of the right names with any shape, dtype and numbers."""
    seen = tiny_policy.observation(0)
    name = str(rng.choice(list(seen)))
    values = rng.choice([0, 1, -1, np.nan, np.inf, 90, 1e30], seen[name].shape)
    with np.errstate(all="ignore"):
        changed = values.astype(rng.choice(["u1", "i8", "f2", "f4", "f8", "?"]))
    return packed(seen | {name: changed if rng.integers(2) else changed[..., None]})


# What a message is -> how it is made.
WHOLE = {
    "random bytes": lambda rng: rng.bytes(int(10 ** rng.uniform(0, 5))),
    "anything in msgpack": lambda rng: packed(anything(rng)),
    "a text": lambda rng: "\x00é\u2028"[int(rng.integers(3))] * int(10 ** rng.uniform(0, 5)),
    "an observation, a bit turned": a_bit,
    "an observation, 16 bytes overwritten": sixteen_bytes,
    "an observation, cut or longer": cut_or_longer,
    "an observation with another value": another_value,
    "an observation with other numbers": other_numbers,
    "what costs more than it weighs": lambda rng: MESSAGES[str(rng.choice(list(MESSAGES)))](),
}
# The same for bytes below messages, after which the connection may be over.
BELOW = {
    "random bytes as frames": lambda rng: rng.bytes(int(10 ** rng.uniform(0, 4))),
    "a frame that is not allowed": lambda rng: frame(int(rng.integers(3, 8)), b"x"),
    "a frame that says any size": lambda rng: frame(
        BINARY, rng.bytes(100), says=int(2 ** rng.uniform(0, 62))
    ),
    "parts out of order": lambda rng: b"".join(
        frame(int(rng.choice([BINARY, CONTINUED, PING, TEXT])), b"\xff", bool(rng.integers(2)))
        for _ in range(5)
    ),
    "no handshake": None,
}


def end_of_message(port: int, message: bytes | str, alone: Session, wanted: np.ndarray) -> str:
    """Sends a message and checks what comes back, and that a good one after it is answered."""
    with joined(port) as connection:
        try:
            connection.send(message)
            reply = connection.recv(timeout=30)
        except websockets.exceptions.ConnectionClosed:
            return "connection ended"
        if isinstance(reply, bytes):
            expected = wire.unpack(alone.answer(message, time.perf_counter()))["actions"]
            np.testing.assert_array_equal(wire.unpack(reply)["actions"], expected)
        else:
            assert len(reply) < 500 and "\n" not in reply and "refused" in reply, reply
        connection.send(observation(reset=True))
        found = wire.unpack(connection.recv(timeout=30))["actions"]
        np.testing.assert_array_equal(found, wanted)
    return "refused in a line" if isinstance(reply, str) else "answered as alone"


def end_of_bytes(port: int, kind: str, rng: np.random.Generator) -> str:
    """Sends bytes and goes away."""
    if kind == "no handshake":
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(rng.bytes(int(10 ** rng.uniform(0, 4))) + b"\r\n\r\n")
            return "connection ended" if not connection.recv(1 << 16) else "refused by HTTP"
    with raw(port) as connection:
        connection.sendall(BELOW[kind](rng))
        connection.settimeout(0.05)
        try:
            while connection.recv(1 << 16):
                pass
        except TimeoutError:
            return "waits for the rest"
        except OSError:
            pass
    return "connection ended"


@pytest.mark.slow
def test_hostile_messages(request, tmp_path, make_service):
    count = request.config.getoption("--hostile")
    service = make_service()
    ends, rng = collections.defaultdict(collections.Counter), np.random.default_rng(SEED)
    kinds = [*WHOLE, *BELOW]
    with serving(tmp_path, "--config.action_speed=(0,)") as (process, port):
        with PolicyClient(port=port, timeout=30) as good:
            seen = tiny_policy.observation(0)
            wanted = good.infer(seen)["actions"]
            good_asked = 0
            for number in range(count):
                if number == count // 4:
                    before = memory(process, "VmRSS")
                kind = kinds[number % len(kinds)]
                if kind in WHOLE:
                    end = end_of_message(port, WHOLE[kind](rng), Session(service), wanted)
                else:
                    end = end_of_bytes(port, kind, rng)
                ends[kind][end] += 1
                if number % 10 == 0:
                    np.testing.assert_array_equal(good.infer(seen, reset=True)["actions"], wanted)
                    good_asked += 1
            after = memory(process, "VmRSS")
        for _ in range(60):  # all of them are gone in the end
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=30).read()
            if not (stats := json.loads(page))["clients"]:
                break
            time.sleep(0.5)
    for kind, counts in ends.items():
        print(f"{kind:<40} {sum(counts.values()):>5}  {dict(counts)}")
    print(f"good requests: {good_asked}; memory: {before:.0f} to {after:.0f} MB; {stats}")
    assert "internal" not in stats["refused"] and "policy" not in stats["refused"]
    assert stats["clients"] == 0 and after < 1.1 * before
