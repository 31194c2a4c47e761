"""Replies that no arm should carry out are refused before any action is returned."""

import ast
import contextlib
import pathlib
import threading

import msgpack
import numpy as np
import pytest
import websockets.sync.server

from glam_jax.client import Actor, PolicyClient, PolicyError, ReplyError, wire
from glam_jax.client.policy_client import MAX_REPLY_BYTES

METADATA = {
    "action_dim": 2,
    "execute": 3,
    "action_low": [-1.0, 0.0],
    "action_high": np.array([1.0, 0.5]),
}
GOOD = np.array([[0.5, 0.25], [1.000005, 0.5]], np.float32)


@contextlib.contextmanager
def scripted(metadata, *replies):
    """(port, messages): a server that sends these, whatever it receives in `messages`."""
    messages = []

    def talk(connection):
        connection.send(metadata)
        for reply in replies:
            messages.append(wire.unpack(connection.recv()))
            connection.send(reply)
        for message in connection:
            messages.append(message)

    with websockets.sync.server.serve(talk, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1], messages
        finally:
            server.shutdown()
            thread.join()


def actions(value):
    return wire.pack({"actions": value})


MALFORMED = {
    "no map": (wire.pack([1, 2]), "found [1, 2]; expected a reply with actions"),
    "no actions": (wire.pack({"action": GOOD}), "found ['action']; expected a reply with actions"),
    "not msgpack": (b"\xc1", "the reply cannot be read: found 1 bytes"),
    "nothing": (actions(None), "actions: found None; expected real numbers"),
    "text": (actions("left"), "actions: found 'left'"),
    "texts": (actions([["a", "b"]]), "actions: found [['a', 'b']]"),
    "truth": (actions(np.ones((1, 2), bool)), "actions: found an array (1, 2) of bool"),
    "objects": (
        msgpack.packb({"actions": {b"nd": True, b"kind": b"O", b"data": b"."}}),
        "the reply cannot be read: array: kind is b'O'",
    ),
    "ragged": (actions([[0.0, 0.0], [0.0]]), "actions: found [[0.0, 0.0], [0.0]]"),
    "empty": (actions(np.zeros((0, 2))), "found shape (0, 2); expected (n, 2), n 1 to 3"),
    "an empty list": (actions([]), "found shape (0,)"),
    "one action": (actions(GOOD[0]), "found shape (2,)"),
    "three dimensions": (actions(GOOD[None]), "found shape (1, 2, 2)"),
    "wide": (actions(np.zeros((4, 3))), "found shape (4, 3); expected (n, 2)"),
    "narrow": (actions(np.zeros((4, 1))), "found shape (4, 1)"),
    "more than said": (actions(np.zeros((4, 2))), "found shape (4, 2); expected (n, 2), n 1 to 3"),
    "texts of unequal length": (
        actions([["a" * 4000] + ["b"] * 250] * 250),
        "actions: found [['aa",
    ),
    "many lists": (actions([[]] * 1_000_000), "the reply cannot be read: found 1000"),
    "lists in lists": (actions([[[[0.0, 0.0]]]]), "actions: found [[[[0.0, 0.0]]]]"),
    "bytes": (actions(bytes(1_000_000)), "actions: found b'"),
    "nan": (actions([[0.0, 0.0], [0.0, np.nan]]), "actions[1, 1]: found nan; expected a finite"),
    "infinite": (actions([[np.inf, 0.0]]), "actions[0, 0]: found inf"),
    "below": (actions([[0.0, -0.001]]), "actions[0, 1]: found -0.001; expected a finite number"),
    "above": (actions([[0.0, 0.0], [1.001, 0.0]]), "actions[1, 0]: found 1.001"),
}


def test_malformed_replies_are_refused_and_the_connection_goes_on():
    replies = [reply for reply, _ in MALFORMED.values()]
    with (
        scripted(wire.pack(METADATA), *replies, actions(GOOD)) as (port, _),
        PolicyClient(port=port) as client,
    ):
        for name, (_, said) in MALFORMED.items():
            with pytest.raises(ReplyError) as refused:
                client.infer({})
            assert said in str(refused.value), name
            assert "\n" not in str(refused.value) and len(str(refused.value)) < 200
        np.testing.assert_array_equal(client.infer({})["actions"], GOOD)


def test_an_actor_returns_nothing_of_them_and_tells_that_nothing_was_carried_out():
    wide = actions(np.zeros((4, 3)))
    replies = [actions(GOOD), wide, "the policy's own words", actions(GOOD[:1])]
    with (
        scripted(wire.pack(METADATA), *replies) as (port, messages),
        PolicyClient(port=port) as client,
    ):
        actor, found = Actor(client), []
        found += [actor.act({}), actor.act(None)]
        with pytest.raises(ReplyError, match="found shape"):
            actor.act({})
        assert actor.asks
        with pytest.raises(PolicyError, match="the policy's own words"):
            actor.act({})
        found.append(actor.act({}))
    np.testing.assert_array_equal(found, [*GOOD, GOOD[0]])
    assert messages == [{"reset": True}, {"executed": 2}, {"executed": 0}, {"executed": 0}]


TRACEBACK = "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'state'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TRACEBACK, "KeyError: 'state'"),  # as openpi's server answers
        ("", "no reason given"),
        ("a" * 1_000_000, "a" * 300),
    ],
)
def test_a_refusal_is_one_short_line(text, said):
    with (
        scripted(wire.pack({}), text) as (port, _),
        PolicyClient(port=port) as client,
        pytest.raises(PolicyError) as refused,
    ):
        client.infer({})
    assert str(refused.value) == said


def test_without_limits_in_the_metadata_any_finite_actions_go():
    with (
        scripted(wire.pack({}), actions([[9, 9, 9]]), actions(np.zeros((1, 0)))) as (port, _),
        PolicyClient(port=port) as client,
    ):
        assert client.infer({})["actions"].tolist() == [[9, 9, 9]]
        with pytest.raises(
            ReplyError, match=r"found shape \(1, 0\); expected \(n, A\), n 1 or more"
        ):
            client.infer({})


def test_too_large_a_reply_is_refused():
    with (
        scripted(wire.pack(METADATA), bytes(MAX_REPLY_BYTES + 1)) as (port, _),
        PolicyClient(port=port) as client,
        pytest.raises(ConnectionError, match=f"a reply above {MAX_REPLY_BYTES} bytes"),
    ):
        client.infer({})


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (wire.pack({"execute": "8"}), "execute is '8'; expected a positive number"),
        ("hello", "found the text 'hello'; expected the metadata of a policy server"),
        (b"\xc1", "bytes that cannot be unpacked"),
        (wire.pack([1]), "found list"),
        (wire.pack({"action_dim": 0}), "action_dim is 0"),
        (wire.pack({"action_dim": "2"}), "action_dim is '2'"),
        (wire.pack(METADATA | {"action_low": [0.0]}), "action_low is .* expected 2 numbers"),
        (wire.pack(METADATA | {"action_high": [0.0, np.nan]}), "action_high is .*nan"),
        (wire.pack({"action_low": []}), "action_low is .* expected some numbers"),
    ],
)
def test_what_is_no_policy_server_is_not_talked_to(metadata, said):
    with scripted(metadata) as (port, _), pytest.raises(ConnectionError, match=said):
        PolicyClient(port=port)


CLIENT = sorted((pathlib.Path(__file__).parents[2] / "glam_jax" / "client").glob("*.py"))


@pytest.mark.parametrize("path", CLIENT, ids=lambda path: path.name)
def test_the_package_is_python_3_8(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    annotated = imports and imports[0].module == "__future__"
    assert annotated or path.name == "__init__.py", "types such as `int | None` are not 3.8's"
