"""DINOv2 as the policy's encoder: sizes, files of weights, and what is refused."""

import sys
import zipfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from random_params import random_params

from glam_jax import config, schema
from glam_jax.errors import ConfigError
from glam_jax.experiment import experiment
from glam_jax.models import vision
from glam_jax.models.dinov2 import tensor_file, vit, weights
from glam_jax.models.dinov2.tensor_file import TensorFileError
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
        contiguous = map(np.ascontiguousarray, parts)  # as the library wants them
        tensors.update(zip(names, contiguous, strict=True))
    return tensors


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
    safetensors.numpy.save_file(file_tensors(tiny_params, TINY, hugging_face), path)
    found = weights.convert(tensor_file.read(path), TINY, path)
    chex.assert_trees_all_equal(found, jax.tree.map(np.asarray, tiny_params["params"]))


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


@pytest.mark.parametrize("kind", [jnp.bfloat16, np.float16, np.float64])
def test_other_kinds_of_number_are_read(tmp_path, kind):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"w": np.array([1.0, -2.5], kind)}, path)
    found = tensor_file.read(path)["w"]
    assert found.dtype == kind
    np.testing.assert_array_equal(found.astype(np.float32), [1.0, -2.5])


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda b: b[:-1], "not a whole .safetensors file"),
        (lambda b: b[:20], "not a whole .safetensors file"),
        (lambda b: b.replace(b'"shape":[2,3]', b'"shape":[2,4]'), "not a whole .safetensors file"),
        (lambda b: b.replace(b"F32", b"F33"), "unknown variant `F33`"),
        (lambda b: b.replace(b'"F32"', b'"F8_E4M3"'), "not a whole .safetensors file"),
        (lambda b: b[:5], "neither a .pth of PyTorch 1.6 or later nor a .safetensors file"),
        (lambda b: b"", "neither a .pth of PyTorch 1.6 or later nor a .safetensors file"),
    ],
)
def test_damaged_safetensors_are_refused_in_one_line(tmp_path, damage, message):
    path, content = tmp_path / "a", safetensors.numpy.save({"w": np.zeros((2, 3), np.float32)})
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    with pytest.raises(TensorFileError, match=message) as error:
        tensor_file.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_without_pytorch_a_pth_is_refused_and_the_other_kind_of_file_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"")
    with pytest.raises(TensorFileError, match="PyTorch.*not installed; give a .safeten") as error:
        tensor_file.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


# ----------------------------------------------------------------- the config


@pytest.mark.parametrize(
    "overrides, error, message",
    [
        ({}, ConfigError, "dinov2_vits14_pretrain.pth"),
        ({}, ConfigError, "--config.policy.dinov2_weights=scratch"),
        ({"dinov2_weights": "/no/such"}, FileNotFoundError, "there is no file /no/such"),
        ({"view_size": 100}, ConfigError, "multiple of 14, such as 98"),
        ({"encoder": "vit"}, ConfigError, "policy.encoder is 'vit'; expected one of conv"),
        ({"dinov2_dtype": "int8"}, ConfigError, "policy.dinov2_dtype is 'int8'"),
        ({"proprio": "both"}, ConfigError, "policy.proprio is 'both'; expected one of ee_pose"),
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
    safetensors.numpy.save_file(tensors, made.policy.dinov2_weights)
    weights.check(made)
    params = {"network": 1, "vision": {"view_0": 2, "view_1": 3, "Dense_0": 4}}
    found = weights.with_weights({"params": params}, made)["params"]
    assert (found["network"], found["vision"]["Dense_0"]) == (1, 4)
    for view in ("view_0", "view_1"):
        np.testing.assert_array_equal(found["vision"][view]["norm"]["bias"], 3.0)
