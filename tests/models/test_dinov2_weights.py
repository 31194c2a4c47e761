"""DINOv2 as the policy's encoder: sizes, hand-written weight files, and what is refused."""

import io
import json
import pathlib
import pickle
import struct
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from glam_jax import config, schema
from glam_jax.experiment import experiment
from glam_jax.models import vision
from glam_jax.models.dinov2 import pth, safetensors, vit, weights
from glam_jax.models.dinov2.safetensors import TensorFileError
from glam_jax.stages import clone

TINY = vit.DinoV2(depth=2, width=12, heads=2, patch=2, grid=3)
PARAMETERS = 22_056_192  # of the published ViT-S/14, without its mask token


@pytest.fixture(scope="module")
def tiny_params():
    return random_params(lambda key: TINY.init(key, jnp.zeros((1, 4, 4, 3))), seed=1)


def file_tensors(params, model, hugging_face):
    """Our parameters as a file of either layout has them."""
    tensors = {"embeddings.mask_token" if hugging_face else "mask_token": np.zeros((1, 12))}
    for entry in weights.entries(model.depth):
        value = params["params"]
        for key in entry.ours:
            value = value[key]
        value = np.asarray(value)
        if entry.ours == ("patch_embed", "kernel"):
            value = value.reshape(model.patch, model.patch, 3, -1).transpose(3, 2, 0, 1)
        elif entry.ours[-1] == "kernel":
            value = value.T
        names = entry.hugging_face if hugging_face else (entry.original,)
        parts = np.split(value, len(names)) if len(names) > 1 else [value]
        tensors.update(zip(names, parts, strict=True))
    return tensors


def safetensors_bytes(tensors):
    """The format by hand: length, JSON, buffers."""
    kinds = {"<f4": "F32", "<f8": "F64", "<f2": "F16"}
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        data = np.ascontiguousarray(value).tobytes()
        header[name] = {
            "dtype": kinds[value.dtype.str],
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the library pads it
    return struct.pack("<Q", len(text)) + text + body


def write_pth(path, index: bytes, storages=(), order=b"little"):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", index)
        file.writestr("a/byteorder", order)
        for key, data in dict(storages).items():
            file.writestr(f"a/data/{key}", data)
    return path


class Named:
    """Pickles as a bare name of another module, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as the call of a name."""

    def __init__(self, named, *arguments):
        self.named, self.arguments = named, arguments


class Storage:
    """Pickles as a reference to a storage."""

    def __init__(self, kind, key, count):
        self.saved = ("storage", Named("torch", kind), key, "cpu", count)


class Writer(pickle._Pickler):  # the one in Python, which can be told how to write a name
    def persistent_id(self, value):
        return value.saved if isinstance(value, Storage) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.named)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def pickled(value) -> bytes:
    out = io.BytesIO()
    Writer(out, protocol=2).dump(value)
    return out.getvalue()


def tensor(storage, offset, shape, strides):
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    hooks = Call(Named("collections", "OrderedDict"))
    return Call(rebuild, storage, offset, shape, strides, False, hooks)


# ---------------------------------------------------------------- the network


def test_the_paper_scale_has_a_dinov2_of_published_size_for_each_view():
    made = config.make("lifting", "scale=paper")
    made.policy.dinov2_remat = True
    layout = schema.Layout(1, made.image_size, True)
    model = clone.build(made, layout, 8)
    params = jax.eval_shape(lambda: clone.init_params(model, layout, 0))
    views = params["params"]["vision"]
    assert layout.image_size == 224
    assert views["Dense_0"]["kernel"].shape == (768, 256)
    for view in ("view_0", "view_1"):
        leaves = jax.tree.leaves(views[view])
        assert sum(leaf.size for leaf in leaves) == PARAMETERS
        assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}  # computed in bfloat16
    seen = {
        "image": jax.ShapeDtypeStruct((3, 2, 224, 224, 3), np.uint8),
        "ee_pose": jax.ShapeDtypeStruct((3, 10), np.float32),
    }
    acted = jax.eval_shape(lambda p, o: model.apply(p, o, method="act"), params, seen)
    assert (acted.shape, acted.dtype) == ((3, 20, 8), np.float32)


def test_views_of_any_side_are_resized_for_the_encoder():
    made = config.make("lifting")
    made.policy.encoder, made.policy.view_size = "dinov2", 98
    model = clone.build(made, schema.Layout(1, 64, True), 8)
    params = jax.eval_shape(lambda: clone.init_params(model, schema.Layout(1, 64, True), 0))
    position = params["params"]["vision"]["view_0"]["pos_embed"]
    assert position.shape == (1, 1370, 384)  # as the file has them, whatever the side
    made.policy.view_size = 0
    model = clone.build(made, schema.Layout(1, 64, True), 8)
    with pytest.raises(ValueError, match="images of 64 x 64 pixels; expected multiples of 14"):
        jax.eval_shape(lambda: clone.init_params(model, schema.Layout(1, 64, True), 0))


def test_resizing_views_keeps_range_and_place():
    ramp = np.tile(np.arange(0, 256, 4, np.uint8)[:, None], (1, 2, 1, 64, 3))
    ramp = ramp.reshape(1, 2, 64, 64, 3)
    assert vision.resize_views(ramp, 0) is ramp and vision.resize_views(ramp, 64) is ramp
    out = vision.resize_views(ramp, 98)
    assert (out.shape, out.dtype) == ((1, 2, 98, 98, 3), np.float32)
    np.testing.assert_allclose(out[..., 0, :], 0.0, atol=1.0)
    assert float(out.max()) <= 252.0 and float(out.mean()) == pytest.approx(126.0, abs=0.5)


# ------------------------------------------------------------------ the files


@pytest.mark.parametrize("hugging_face", [False, True])
def test_both_layouts_come_back_as_ours(tiny_params, tmp_path, hugging_face):
    path = tmp_path / "weights"
    path.write_bytes(safetensors_bytes(file_tensors(tiny_params, TINY, hugging_face)))
    found = weights.convert(weights.read(path), TINY, path)
    jax.tree.map(np.testing.assert_array_equal, found, tiny_params["params"])


def test_query_key_and_value_are_joined_in_this_order(tiny_params):
    tensors = file_tensors(tiny_params, TINY, True)
    for n, part in enumerate(("query", "key", "value")):
        tensors[f"encoder.layer.0.attention.attention.{part}.bias"] = np.full(12, n, np.float32)
    bias = weights.convert(tensors, TINY, "f")["block_0"]["qkv"]["bias"]
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 2], 12))


@pytest.mark.parametrize("hugging_face", [False, True])
def test_a_missing_tensor_is_named_whichever_it_is(tiny_params, hugging_face):
    tensors = file_tensors(tiny_params, TINY, hugging_face)
    for name in tensors:
        if "mask_token" in name:
            continue
        rest = {k: v for k, v in tensors.items() if k != name}
        if "cls_token" in name:
            with pytest.raises(TensorFileError, match="f: has neither cls_token nor embeddings"):
                weights.convert(rest, TINY, "f")
            continue
        with pytest.raises(TensorFileError, match=f"^f: {name} is missing"):
            weights.convert(rest, TINY, "f")


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("blocks.0.attn.qkv.weight", np.zeros((36, 24)), r"shape \(36, 24\), expected \(36, 12\)"),
        ("patch_embed.proj.weight", np.zeros((12, 3, 4, 4)), r"expected \(12, 3, 2, 2\)"),
        ("register_tokens", np.zeros((1, 4, 12)), "register_tokens is no part of a ViT of 2"),
        ("blocks.2.norm1.weight", np.zeros(12), "blocks.2.norm1.weight is no part of"),
    ],
)
def test_another_models_weights_are_refused(tiny_params, name, value, message):
    tensors = file_tensors(tiny_params, TINY, False) | {name: value}
    with pytest.raises(TensorFileError, match=message):
        weights.convert(tensors, TINY, "f")


def test_half_precision_safetensors_are_read(tmp_path):
    header = {"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    # 1.0 and -2.0 in bfloat16: the upper halves of their float32s.
    body = struct.pack("<HH", 0x3F80, 0xC000)
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    np.testing.assert_array_equal(safetensors.read(path)["w"].astype(np.float32), [1.0, -2.0])


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda b: b[:-1], "w lies at bytes 0 to 24 of 23"),
        (lambda b: b[:20], "cut short"),
        (lambda b: b.replace(b'"shape": [2, 3]', b'"shape": [2, 4]'), "of F32 needs 32"),
        (lambda b: b.replace(b'"shape": [2, 3]', b'"shape":[-2,-3]'), "w lies at bytes 0 to 24"),
        (lambda b: b.replace(b"F32", b"F33"), "w is of kind 'F33'; expected one of F64, F32"),
        (lambda b: b.replace(b'"dtype"', b'"dtypo"'), "expected dtype, shape, data_offsets"),
        (lambda b: b.replace(b'"w"', b'"w '), "header is not JSON"),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, damage, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(damage(safetensors_bytes({"w": np.zeros((2, 3), np.float32)})))
    with pytest.raises(TensorFileError, match=message) as error:
        safetensors.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_by_hand_is_read(tmp_path):
    numbers = np.arange(6, dtype=np.float32)
    storage = Storage("FloatStorage", "0", 6)
    state = {
        "w": tensor(storage, 0, (2, 3), (3, 1)),
        "turned": tensor(storage, 0, (3, 2), (1, 3)),
        "last": tensor(storage, 5, (), ()),
    }
    path = write_pth(tmp_path / "a.pth", pickled(state), {"0": numbers.tobytes()})
    found = weights.read(path)
    np.testing.assert_array_equal(found["w"], numbers.reshape(2, 3))
    np.testing.assert_array_equal(found["turned"], numbers.reshape(2, 3).T)
    assert found["last"] == 5.0


def test_a_malicious_checkpoint_runs_nothing(tmp_path):
    marker = tmp_path / "was_run"
    attack = pickled({"w": Call(Named("pathlib", "Path.touch"), pathlib.Path(marker))})
    touch = Call(Named("posix", "system"), f"touch {marker}")
    for index in (pickled({"w": touch}), pickled(touch)):
        pickle.loads(index)
        assert marker.exists()  # an ordinary unpickler carries it out
        marker.unlink()
        path = write_pth(tmp_path / "a.pth", index)
        with pytest.raises(
            TensorFileError, match="names posix.system, which is no tensor; refused"
        ):
            weights.read(path)
        assert not marker.exists()
    with pytest.raises(TensorFileError, match="which is no tensor; refused"):
        weights.read(write_pth(tmp_path / "a.pth", attack))
    assert not marker.exists()


@pytest.mark.parametrize(
    "module, name",
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.__class__"),
        ("collections", "Counter"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_parameter"),
        ("numpy", "load"),
    ],
)
def test_no_name_but_those_of_tensors_is_admitted(tmp_path, module, name):
    """As protocol 2 writes a name, and as protocol 4 does."""
    short = lambda text: b"\x8c" + bytes([len(text)]) + text.encode()  # noqa: E731
    for index in (
        pickled({"w": Named(module, name)}),
        b"\x80\x04" + short(module) + short(name) + b"\x93.",
        b"\x80\x02(i" + f"{module}\n{name}\n".encode() + b".",
    ):
        with pytest.raises(TensorFileError, match=f"names {module}.{name}, which is no tensor"):
            pth.read(write_pth(tmp_path / "a.pth", index))


@pytest.mark.parametrize(
    "value, message",
    [
        (tensor(Storage("FloatStorage", "0", 6), 0, (7,), (1,)), "does not fit its storage"),
        (tensor(Storage("FloatStorage", "0", 6), 4, (3,), (1,)), "does not fit its storage"),
        (tensor(Storage("FloatStorage", "0", 6), 0, (2,), (-1,)), "does not fit its storage"),
        (tensor(Storage("FloatStorage", "0", 6), -1, (2,), (1,)), "does not fit its storage"),
        (tensor("no storage", 0, (2,), (1,)), "does not fit its storage"),
        (tensor(Storage("FloatStorage", "0", 9), 0, (9,), (1,)), "has 24 bytes; expected 36"),
        (tensor(Storage("FloatStorage", "1", 6), 0, (6,), (1,)), "entry a/data/1 is missing"),
        ({"step": 3}, "'w' is a dict; expected a tensor under a name"),
    ],
)
def test_tensors_outside_of_their_storage_are_refused(tmp_path, value, message):
    data = np.zeros(6, np.float32).tobytes()
    path = write_pth(tmp_path / "a.pth", pickled({"w": value}), {"0": data})
    with pytest.raises(TensorFileError, match=message):
        pth.read(path)


def test_damaged_checkpoints_are_refused(tmp_path):
    path, good = tmp_path / "a.pth", pickled({})
    for index, order, message in (
        (good[:-3], b"little", "data.pkl cannot be read"),
        (good, b"big", "not of little-endian byte order"),
        (pickled([1]), b"little", "holds a list; expected a dict of tensors"),
    ):
        with pytest.raises(TensorFileError, match=message):
            pth.read(write_pth(path, index, order=order))
    path.write_bytes(write_pth(path, good).read_bytes()[:60])
    with pytest.raises(TensorFileError, match="not a whole zip archive"):
        weights.read(path)
    path.write_bytes(good)
    with pytest.raises(TensorFileError, match="neither a .pth of PyTorch 1.6 or later nor a"):
        weights.read(path)


# ----------------------------------------------------------------- the config


@pytest.mark.parametrize(
    "overrides, error, message",
    [
        ({}, weights.EncoderError, "dinov2_vits14_pretrain.pth"),
        ({}, weights.EncoderError, "--config.policy.dinov2_weights=scratch"),
        ({"dinov2_weights": "/no/such"}, FileNotFoundError, "there is no file /no/such"),
        ({"view_size": 100}, weights.EncoderError, "multiple of 14, such as 98"),
        ({"encoder": "vit"}, weights.EncoderError, "policy.encoder is 'vit'; expected one of conv"),
        ({"dinov2_dtype": "int8"}, weights.EncoderError, "policy.dinov2_dtype is 'int8'"),
    ],
)
def test_what_the_encoder_lacks_is_said_before_anything_is_done(
    tmp_path, overrides, error, message
):
    made = config.make("lifting", "scale=paper")
    made.policy.update(overrides)
    with pytest.raises(error, match=message) as found:
        experiment.run(made, tmp_path / "run")
    assert "\n" not in str(found.value) and not (tmp_path / "run").exists()


def test_scratch_and_the_other_scales_need_no_file():
    made = config.make("lifting", "scale=paper")
    made.policy.dinov2_weights = weights.SCRATCH
    weights.check(made)
    weights.check(config.make("lifting"))
    params = {"params": {"vision": {"view_0": {"a": 1}}}}
    assert weights.with_weights(params, made) is params
    assert weights.with_weights(params, config.make("lifting")) is params


def test_weights_go_to_every_view_and_nowhere_else(tmp_path):
    model = vit.DinoV2()
    zeros = jax.tree.map(lambda s: np.zeros(s.shape, np.float32), weights.shapes_of(model))
    zeros["norm"]["bias"] += 3.0
    made = config.make("lifting", "scale=paper")
    made.policy.dinov2_weights = str(tmp_path / "weights.safetensors")
    tensors = file_tensors({"params": zeros}, model, True)
    (tmp_path / "weights.safetensors").write_bytes(safetensors_bytes(tensors))
    weights.check(made)
    params = {"network": 1, "vision": {"view_0": 2, "view_1": 3, "Dense_0": 4}}
    found = weights.with_weights({"params": params}, made)["params"]
    assert (found["network"], found["vision"]["Dense_0"]) == (1, 4)
    for view in ("view_0", "view_1"):
        np.testing.assert_array_equal(found["vision"][view]["norm"]["bias"], 3.0)
