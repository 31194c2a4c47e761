"""Who costs the server more than an observation may is dropped, and nobody else notices."""

import contextlib
import dataclasses
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
import tiny_policy
from attacks import BINARY, CONTINUED, PING, frame, joined, observation, raw
from running_server import MAX_BYTES, running

from glam_jax.client import PolicyClient, wire
from glam_jax.serve import connection, server

MESSAGE_S = 0.4


@pytest.fixture
def served(make_service):
    with running(make_service(), message_s=MESSAGE_S) as (server, port):
        yield server, port


@pytest.fixture
def good(policy, served):
    """A client that was there before; asks once more at the end."""
    with PolicyClient(port=served[1]) as client:
        yield client
        found = client.infer(tiny_policy.observation(2))["actions"]
        wanted = policy(tiny_policy.observation(2))[: tiny_policy.EXECUTE]
        np.testing.assert_array_equal(found, wanted)


def is_dropped(connection: socket.socket, seconds: float = 10.0) -> bool:
    """Whether the server ends a connection; reads nothing that would make it go on."""
    connection.settimeout(0.1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if not connection.recv(1 << 16):
                return True
        except TimeoutError:
            pass
        except OSError:
            return True
    return False


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", frame(PING)),
        (b"", frame(PING, bytes(125))),
        (frame(BINARY, last=False), frame(CONTINUED, last=False)),
    ],
    ids=("empty pings", "pings", "empty parts"),
)
def test_many_frames_end_their_connection(served, good, first, again):
    with raw(served[1]) as attacker:
        with contextlib.suppress(OSError):
            attacker.sendall(first + again * (4 * connection.MAX_FRAMES))
        assert is_dropped(attacker)
    assert served[0].stats()["refused"] == {"frames": 1}


def test_replies_that_are_never_read_end_their_connection(served, good, monkeypatch):
    monkeypatch.setattr(connection, "MAX_FRAMES", 10**9)
    block = frame(PING, bytes(125)) * 1000
    with raw(served[1]) as attacker, contextlib.suppress(OSError):
        for _ in range(500):
            attacker.sendall(block)
    assert served[0].stats()["refused"] == {"unread": 1}


@pytest.mark.parametrize(
    "begun",
    [
        observation()[:1],
        frame(BINARY, observation()[:-5], says=len(observation())),
        frame(BINARY, observation()) + frame(BINARY, observation()[:-5], says=5000),
        frame(BINARY, bytes(10), last=False) + frame(PING),
    ],
    ids=("a byte", "all but five bytes", "after another", "a part"),
)
def test_a_message_that_is_not_finished_ends_its_connection(served, good, begun):
    with raw(served[1]) as attacker:
        attacker.sendall(begun)
        began = time.monotonic()
        assert is_dropped(attacker)
        assert time.monotonic() - began > MESSAGE_S / 2
    assert served[0].stats()["refused"] == {"unfinished": 1}


def test_neither_silence_nor_a_message_in_parts_ends_a_connection(served, good):
    with joined(served[1]) as client:
        time.sleep(2 * MESSAGE_S)
        whole = observation()
        for _ in range(4):  # longer than one message may take
            client.send([whole[:100], whole[100:]])
            assert isinstance(client.recv(timeout=10), bytes)
            client.ping()
            time.sleep(0.4 * MESSAGE_S)
    assert served[0].stats()["refused"] == {}


def test_a_message_in_many_large_parts_is_a_message(served, good, monkeypatch):
    monkeypatch.setattr(connection, "MAX_FRAMES", 5)
    with joined(served[1]) as client:
        client.send([bytes(connection.SMALL)] * 15)
        assert client.recv(timeout=10).startswith("message refused")
    assert served[0].stats()["refused"] == {"message": 1}


@pytest.mark.parametrize("size", [2 * MAX_BYTES - 20, MAX_BYTES // 4], ids=("few", "many"))
def test_of_too_many_unfinished_messages_the_oldest_end(make_service, policy, size):
    part = frame(BINARY, bytes(size - 1), says=size)
    whole = frame(BINARY, bytes(MAX_BYTES * 3 // 2))
    count = server.HELD * MAX_BYTES // size
    with (
        running(make_service(), max_clients=100, message_s=60.0) as (found, port),
        PolicyClient(port=port) as good,
        contextlib.ExitStack() as stack,
    ):
        attackers = [stack.enter_context(raw(port)) for _ in range(count)]
        for attacker in attackers:
            attacker.sendall(part)
        good.infer(tiny_policy.observation(2))
        assert found.stats()["refused"] == {}
        with raw(port) as large:  # as large as the others, or larger, and the last
            large.sendall(whole[:-1])
            assert is_dropped(attackers[0])
            large.sendall(whole[-1:])
            assert not is_dropped(large, seconds=0.5)
        assert set(found.stats()["refused"]) == {"memory", "size"}
        good.infer(tiny_policy.observation(2))


def blocked(service, begun: threading.Event, go_on: threading.Event, seen: list):
    """The service with a policy that waits, and writes down which step it was asked for."""

    def policy(observation):
        begun.set()
        assert go_on.wait(20)
        seen.append(float(observation["proprio"][0]))
        return service.policy(observation)

    return dataclasses.replace(service, policy=policy)


def test_who_is_refused_again_and_again_is_answered_last(make_service):
    begun, go_on, seen = threading.Event(), threading.Event(), []
    service = blocked(make_service(), begun, go_on, seen)
    with running(service) as (_, port), contextlib.ExitStack() as stack:
        first, offender, good = (stack.enter_context(joined(port)) for _ in range(3))
        for _ in range(server.PATIENCE):
            offender.send(wire.pack({}))
            assert isinstance(offender.recv(timeout=10), str)
        steps = (1, 2, 3)
        for step, client in zip(steps, (first, offender, good), strict=True):
            client.send(wire.pack(tiny_policy.observation(step)))
            assert begun.wait(10)
            time.sleep(4 * server.REST_S)
        # Nothing else waits for the policy.
        began = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).read()
        assert time.perf_counter() - began < 1
        go_on.set()
        for client in (first, offender, good):
            assert isinstance(client.recv(timeout=10), bytes)
        wanted = [float(tiny_policy.observation(step)["proprio"][0]) for step in (1, 3, 2)]
        assert seen == wanted


def test_a_server_that_is_told_to_stop_does_not_wait_for_ever(make_service):
    begun, go_on, seen = threading.Event(), threading.Event(), []
    service = blocked(make_service(), begun, go_on, seen)
    with contextlib.ExitStack() as stack, running(service) as (_, port):
        for client in [stack.enter_context(joined(port)) for _ in range(3)]:
            client.send(observation())
        assert begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
    assert seen
