"""The encoding: what goes through unchanged, and what is refused."""

import math
import time

import msgpack
import numpy as np
import pytest

from glam_jax.client import wire


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", ">f8"])
def test_arrays_come_back_as_they_were(rng, dtype):
    sent = rng.integers(0, 2, (3, 1, 2)).astype(dtype)
    found = wire.unpack(wire.pack({"deep": [{"x": sent}], "word": "é", "none": None}))
    array = found["deep"][0]["x"]
    assert array.dtype == sent.dtype and found["word"] == "é" and found["none"] is None
    np.testing.assert_array_equal(array, sent)


def test_scalars_and_empty_arrays_come_back():
    found = wire.unpack(wire.pack([np.float32(0.5), np.zeros((0, 8)), np.zeros(())]))
    assert found[0] == 0.5 and found[0].dtype == np.float32
    assert found[1].shape == (0, 8) and found[2].shape == ()


def test_columns_first_arrays_keep_their_order():
    sent = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(wire.unpack(wire.pack(sent)), sent)


def test_the_bytes_are_those_of_openpis_client():
    sent = np.array([[1, 2]], np.int16)
    parts = {b"__ndarray__": True, b"data": sent.tobytes(), b"dtype": "<i2", b"shape": [1, 2]}
    assert wire.pack(sent) == msgpack.packb(parts)
    scalar = {b"__npgeneric__": True, b"data": 2, b"dtype": "<i2"}
    assert wire.pack(sent[0, 1]) == msgpack.packb(scalar)


def of_msgpack_numpy(**changes):
    parts = {"nd": True, "type": "<i2", "kind": b"", "shape": (1, 2), "data": bytes([1, 0, 2, 0])}
    return msgpack.packb({key.encode(): value for key, value in (parts | changes).items()})


def test_what_the_package_msgpack_numpy_writes_is_read():
    found = wire.unpack(of_msgpack_numpy())
    assert found.dtype == np.int16 and found.tolist() == [[1, 2]]
    scalar = wire.unpack(msgpack.packb({b"nd": False, b"type": "<f4", b"data": bytes(4)}))
    assert scalar == 0 and scalar.dtype == np.float32 and np.ndim(scalar) == 0


@pytest.mark.parametrize(
    "value", [np.array([{}]), np.array(["a"]), np.array([1j]), np.datetime64(0, "s"), object()]
)
def test_what_is_not_numbers_is_not_sent(value):
    with pytest.raises(wire.WireError):
        wire.pack({"x": value})


def array(**changes):
    parts = {"__ndarray__": True, "data": bytes(8), "dtype": "<f4", "shape": [2]} | changes
    return msgpack.packb({key.encode(): value for key, value in parts.items()})


REFUSED = {
    "nothing": b"",
    "not msgpack": b"\xc1",
    "two messages": b"\x01\x02",
    "cut short": msgpack.packb({"a": "long enough"})[:-3],
    "extension": msgpack.packb(msgpack.ExtType(4, b"x")),
    "deep": b"\x91" * 5000,
    "a list as a key": b"\x81\x90\x01",
    "says it is huge": b"\xdd\xff\xff\xff\xff",
    "objects": array(dtype="|O"),
    "strings": array(dtype="<U2"),
    "structured": array(dtype="f4,f4"),
    "dtype of no size": array(dtype="<f3"),
    "dtype is a number": array(dtype=4),
    "too few bytes": array(shape=[3]),
    "too many bytes": array(shape=[1]),
    "huge": array(shape=[2**62]),
    "huge and empty": array(shape=[0, 2**62, 2**62], data=b""),
    "negative": array(shape=[-2]),
    "fraction": array(shape=[2.0]),
    "many dimensions": array(shape=[1] * 8 + [2]),
    "text as data": array(data="12345678"),
    "pickled objects": of_msgpack_numpy(kind=b"O", type="|O", data=b"cos\nsystem\n."),
    "pickled objects without a kind": of_msgpack_numpy(kind=b"", type="|O"),
    "a structure": of_msgpack_numpy(kind=b"V", type=[["x", "<i2"]]),
    "msgpack_numpy, too few bytes": of_msgpack_numpy(shape=(2, 2)),
    "msgpack_numpy, no shape": of_msgpack_numpy(shape=None),
    "msgpack_numpy, a long scalar": of_msgpack_numpy(nd=False),
    "a long list": msgpack.packb([1] * 257),
    "a map of many names": msgpack.packb({str(i): i for i in range(257)}),
    "a long text": msgpack.packb("a" * 4097),
    "many lists": msgpack.packb([[[]] * 250] * 5),
    "many arrays": msgpack.packb([[msgpack.unpackb(array(data=b"", shape=[0]))] * 200] * 6),
    "a long shape": array(shape=[1] * 257),
    "scalar of text": msgpack.packb({b"__npgeneric__": True, b"data": "1", b"dtype": "<f4"}),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_malformed_is_refused(data):
    with pytest.raises(wire.WireError) as refused:
        wire.unpack(data)
    assert 0 < len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "value",
    ["a\n" * 1_000_000, b"\x00" * 1_000_000, [["\n" * 4096] * 256] * 3, np.zeros([6] * 8)],
    ids=("text", "bytes", "lists", "array"),
)
def test_what_is_shown_is_one_short_line(value):
    began = time.perf_counter()
    said = wire.shown(value)
    assert len(said) <= 60 and "\n" not in said and time.perf_counter() - began < 0.1


def test_arrays_are_not_copied():
    data = wire.pack(np.zeros(1000))
    assert not wire.unpack(data).flags.owndata and math.prod(wire.unpack(data).shape) == 1000
