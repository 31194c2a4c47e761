"""The server over a real socket: what it serves, what it refuses, and that it stays up."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import threading
import urllib.error
import urllib.request

import msgpack
import numpy as np
import pytest
import tiny_policy
import websockets.exceptions
import websockets.sync.client
from running_server import MAX_BYTES, running

from glam_jax.client import Actor, PolicyClient, PolicyError, wire
from glam_jax.serve import service
from glam_jax.serve.server import OVERSIZE, check_exposure


@pytest.fixture
def served(make_service):
    with running(make_service()) as (server, port):
        yield server, port


def expected(policy, step):
    return policy(tiny_policy.observation(step))[: tiny_policy.EXECUTE]


def test_actions_are_the_policys_own(policy, served):
    _, port = served
    with PolicyClient(port=port) as client:
        assert client.metadata["execute"] == tiny_policy.EXECUTE
        assert client.metadata["observation"]["image_front"]["shape"] == [16, 16, 3]
        for step in (0, 7, 3):
            reply = client.infer(tiny_policy.observation(step))
            np.testing.assert_array_equal(reply["actions"], expected(policy, step))
            assert reply["clipped"] == {"range": 0, "speed": 0}
            assert reply["server_timing"]["infer_ms"] > 0


def test_sixteen_clients_at_once(policy, served):
    server, port = served
    everyone = threading.Barrier(16)

    def episode(i):
        with PolicyClient(port=port) as client:
            everyone.wait(timeout=30)
            return [client.infer(tiny_policy.observation(i + k))["actions"] for k in range(6)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(episode, range(16)))
    for i, episode_actions in enumerate(found):
        for k, actions in enumerate(episode_actions):
            np.testing.assert_array_equal(actions, expected(policy, i + k))
    assert server.stats()["served"] == 96


def changed(**changes):
    return wire.pack(tiny_policy.observation(0) | changes)


NAN = np.full(10, np.nan)
MALFORMED = [
    (b"", "message refused"),
    (b"\xc1\x00", "message refused"),
    ("hello", "message refused: found text"),
    (wire.pack([1, 2]), "message refused: found list"),
    (changed()[:-5], "message refused"),
    (msgpack.packb({"image_front": {b"__ndarray__": True, b"dtype": "|O"}}), "dtype is '|O'"),
    (wire.pack({}), "observation refused: image_front is missing"),
    (changed(image_front=np.zeros((16, 16, 3))), "found dtype float64; expected uint8"),
    (changed(ee_pose=np.zeros((2, 10))), "found shape (2, 10); expected (10,)"),
    (changed(ee_pose=NAN), "ee_pose[0]: found a value that is not finite"),
    (changed(proprio=np.full(8, 90.0)), "proprio[0]: found 90; expected"),
    (changed(state=np.zeros(8)), "unknown 'state'"),
    (changed(image_front=["a" * 4000] + ["b"] * 250), "message refused: 'image_front': found ['aa"),
    (changed(image_front=[[1, 2]] * 3), "'image_front': found [[1, 2], [1, 2], [1, 2]]; expected"),
    (changed(image_front={"a": 1}), "'image_front': found {'a': 1}; expected an array, a number,"),
    (changed(image_front=b"bytes"), "'image_front': found b'bytes'; expected"),
    (changed(image_front=[[]] * 1000), "message refused: found 2"),
    (changed(image_front=[1] * 256), "image_front: found dtype int64; expected uint8"),
    (changed(prompt="a" * 5000), "message refused: found 6"),
    (changed(reset=np.zeros((6, 6, 6), bool)), "reset: found an array (6, 6, 6"),
    (changed(reset="yes"), "reset: found 'yes'"),
    (changed(executed=1), "executed: found 1; expected 0 to 0"),
    (changed(executed=True), "executed: found True"),
]


def test_what_is_malformed_is_answered_and_the_connection_goes_on(policy, served):
    server, port = served
    with websockets.sync.client.connect(f"ws://127.0.0.1:{port}", compression=None) as socket:
        assert "execute" in wire.unpack(socket.recv(timeout=10))
        for message, said in MALFORMED:
            socket.send(message)
            reply = socket.recv(timeout=10)
            assert isinstance(reply, str) and said in reply
        socket.send(changed(prompt="lift the cube"))
        actions = wire.unpack(socket.recv(timeout=10))["actions"]
        np.testing.assert_array_equal(actions, expected(policy, 0))
    refused = server.stats()["refused"]
    messages = sum(said.startswith(("message", "dtype", "'image")) for _, said in MALFORMED)
    assert refused == {"message": messages, "observation": len(MALFORMED) - messages}


def test_too_large_a_message_is_told_and_the_connection_goes_on(policy, served):
    server, port = served
    with PolicyClient(port=port) as client:
        for size in (MAX_BYTES, OVERSIZE * MAX_BYTES - 100):
            message = {"image_front": bytes(size)}
            said = f"refused: found {len(wire.pack(message))} bytes; expected at most {MAX_BYTES} "
            with pytest.raises(PolicyError, match=said):
                client.infer(message)
        actions = client.infer(tiny_policy.observation(2))["actions"]
        np.testing.assert_array_equal(actions, expected(policy, 2))
    assert server.stats()["refused"] == {"size": 2} and server.stats()["served"] == 1


def test_a_message_far_too_large_ends_its_connection_alone(policy, served):
    server, port = served
    with PolicyClient(port=port) as other:
        client = PolicyClient(port=port)
        with pytest.raises(ConnectionError, match=r"1009 \(message too big\) .*exceeds limit"):
            client.infer({"image_front": np.zeros(OVERSIZE * MAX_BYTES, np.uint8)})
        actions = other.infer(tiny_policy.observation(2))["actions"]
        np.testing.assert_array_equal(actions, expected(policy, 2))
    assert server.stats()["refused"] == {"size": 1}


def test_arrays_of_msgpack_numpy_are_understood(policy, served):
    _, port = served
    seen = {
        name: {
            b"nd": True,
            b"type": array.dtype.str,
            b"kind": b"",
            b"shape": array.shape,
            b"data": array.tobytes(),
        }
        for name, array in tiny_policy.observation(6).items()
    }
    with PolicyClient(port=port) as client:
        np.testing.assert_array_equal(client.infer(seen)["actions"], expected(policy, 6))


def get(port, path, token=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token:
        request.add_header("Authorization", f"Api-Key {token}")
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def test_a_token_is_asked_for(policy, make_service):
    with running(make_service(), token="right-token") as (server, port):
        for token in (None, "wrong-token", "Right-token", "r\xefght-token"):
            with pytest.raises(PermissionError, match="401.*wrong or missing token"):
                PolicyClient(port=port, token=token)
        with PolicyClient(port=port, token="right-token") as client:
            actions = client.infer(tiny_policy.observation(1))["actions"]
            np.testing.assert_array_equal(actions, expected(policy, 1))
            assert server.stats()["clients"] == 1
        assert get(port, "/healthz") == "OK\n"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(port, "/stats")
        stats = json.loads(get(port, "/stats", "right-token"))
        assert stats["served"] == 1 and stats["refused"] == {"token": 5}
        marks = [stats["latency_ms"][name] for name in ("p50", "p90", "p99", "max")]
        assert 0 < marks[0] <= marks[1] <= marks[2] <= marks[3]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.example"])
def test_others_may_not_reach_it_without_a_token(host):
    with pytest.raises(service.SettingsError, match="needs a token"):
        check_exposure(host, None)
    check_exposure(host, "a token")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    check_exposure(host, None)


def test_a_web_page_is_refused(served):
    _, port = served
    with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
        websockets.sync.client.connect(f"ws://127.0.0.1:{port}", origin="http://example.com")


def test_no_more_clients_than_told(make_service):
    with running(make_service(), max_clients=1) as (_, port):
        refused = pytest.raises(ConnectionError, match="503.*no more are taken")
        with PolicyClient(port=port), refused:
            PolicyClient(port=port)
        with contextlib.ExitStack() as stack:
            # The server notices a closed connection a moment later.
            for _ in range(100):
                with contextlib.suppress(ConnectionError):
                    stack.enter_context(PolicyClient(port=port))
                    break
            else:
                pytest.fail("the place of a client that left was not given away")


def failing(_):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("broken", "said"),
    [(lambda _: np.full((6, 8), np.nan), "not finite"), (failing, "internal error")],
)
def test_a_policy_that_fails_is_told_and_the_server_stays(make_service, broken, said):
    with running(dataclasses.replace(make_service(), policy=broken)) as (_, port):
        for _ in range(2):
            with PolicyClient(port=port) as client, pytest.raises(PolicyError, match=said):
                client.infer(tiny_policy.observation(0))


SPEED = (*[1.0] * 7, 0.0)


def test_speed_is_limited_from_the_joints_and_on_over_chunks(policy, make_service):
    with running(make_service(action_speed=SPEED)) as (server, port):
        with PolicyClient(port=port) as client:
            seen = tiny_policy.observation(0)
            first, second = (client.infer(seen)["actions"] for _ in range(2))
            third = client.infer(seen, executed=2)["actions"]
            fresh = client.infer(seen, reset=True)["actions"]
        clipped = server.stats()["clipped"]
    step = 1.0 / policy.control_hz + 1e-6
    starts = (seen["proprio"], first[-1], second[1])
    for before, actions in zip(starts, (first, second, third), strict=True):
        moved = np.diff(np.vstack([before, actions]), axis=0)[:, :7]
        assert np.abs(moved).max() <= step
    # The policy wants to be elsewhere, and gets further with each chunk.
    assert np.abs(second[0] - first[0])[:7].max() > step
    np.testing.assert_array_equal(fresh, first)
    assert clipped["speed"] > 0 and clipped["range"] == 0


def test_limits_hold_and_are_counted(make_service):
    with running(make_service(action_low=(-0.02,), action_high=(0.02,))) as (server, port):
        with PolicyClient(port=port) as client:
            reply = client.infer(tiny_policy.observation(0))
        assert np.abs(reply["actions"]).max() <= np.float32(0.02)
        assert reply["clipped"]["range"] == server.stats()["clipped"]["range"] > 0


def test_an_actor_carries_out_the_head_of_each_chunk(policy, served):
    server, port = served
    with PolicyClient(port=port) as client:
        actor = Actor(client, execute=3)
        found = [actor.act(tiny_policy.observation(step)) for step in range(7)]
        wanted = [expected(policy, step // 3 * 3)[step % 3] for step in range(7)]
        np.testing.assert_array_equal(found, wanted)
        assert server.stats()["served"] == 3 and not actor.asks
        actor.reset()
        np.testing.assert_array_equal(actor.act(tiny_policy.observation(9)), expected(policy, 9)[0])


def test_the_ensemble_blends_chunks_until_reset(policy, make_service):
    service = make_service(mode="ensemble", ensemble_decay=0.0)
    with running(service) as (_, port), PolicyClient(port=port) as client:
        actor = Actor(client)
        found = [actor.act(tiny_policy.observation(step)) for step in range(3)]
        actor.reset()
        again = actor.act(tiny_policy.observation(5))
    chunks = [policy(tiny_policy.observation(step)) for step in range(3)]
    np.testing.assert_allclose(found[0], chunks[0][0], atol=1e-6)
    mean = (chunks[0][2] + chunks[1][1] + chunks[2][0]) / 3
    np.testing.assert_allclose(found[2], mean, atol=1e-6)
    np.testing.assert_allclose(again, policy(tiny_policy.observation(5))[0], atol=1e-6)


@pytest.mark.skipif("OPENPI_PYTHON" not in os.environ, reason="needs OPENPI_PYTHON, see .ci/run")
def test_openpis_own_client_completes_an_episode(policy, make_service, tmp_path):
    steps = range(0, 12, tiny_policy.EXECUTE)
    seen = {
        f"{step}/{key}": value
        for step in steps
        for key, value in tiny_policy.observation(step).items()
    }
    np.savez(tmp_path / "seen.npz", **seen)
    with running(make_service(), token="a token") as (_, port):
        words = [port, "a token", tmp_path / "seen.npz", tmp_path / "found.npz"]
        program = pathlib.Path(__file__).parents[1].joinpath("openpi_episode.py")
        command = [os.environ["OPENPI_PYTHON"], str(program), *map(str, words)]
        subprocess.run(command, check=True, timeout=60)
    found = np.load(tmp_path / "found.npz")
    assert found["task"] == "lifting" and "ee_pose is missing" in str(found["error"])
    for step in steps:
        np.testing.assert_array_equal(found[str(step)], expected(policy, step))
