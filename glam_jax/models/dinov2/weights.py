"""Published weights of DINOv2 ViT-S/14, from a local file to the parameters of `vit`."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from glam_jax.errors import ConfigError
from glam_jax.models import vision
from glam_jax.models.dinov2 import tensor_file
from glam_jax.models.dinov2.tensor_file import TensorFileError
from glam_jax.models.dinov2.vit import DinoV2

SCRATCH = "scratch"
WHERE = (
    "policy.dinov2_weights is not set: scale=paper starts from the published DINOv2 ViT-S/14. "
    "Download https://huggingface.co/facebook/dinov2-small/resolve/main/model.safetensors or, if "
    "PyTorch is installed, https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/"
    "dinov2_vits14_pretrain.pth and give its path, --config.policy.dinov2_weights=PATH, or start "
    "from random weights, --config.policy.dinov2_weights=scratch"
)


class Entry(NamedTuple):
    """One of our arrays and where files have it.

    Attributes:
      ours: path in the parameters of `DinoV2`.
      original: its name in facebookresearch's file.
      hugging_face: its name there, or the names of the parts that it is joined from.
    """

    ours: tuple[str, ...]
    original: str
    hugging_face: tuple[str, ...]


# Ours, original's, Hugging Face's: modules of a block with weight and bias, and its gains.
_MODULES = (
    ("norm1", "norm1", ("norm1",)),
    ("qkv", "attn.qkv", tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))),
    ("proj", "attn.proj", ("attention.output.dense",)),
    ("norm2", "norm2", ("norm2",)),
    ("fc1", "mlp.fc1", ("mlp.fc1",)),
    ("fc2", "mlp.fc2", ("mlp.fc2",)),
)
_GAINS = (
    ("ls1", "ls1.gamma", "layer_scale1.lambda1"),
    ("ls2", "ls2.gamma", "layer_scale2.lambda1"),
)
# Used in pretraining only, and dropped.
_DROPPED = {"mask_token", "embeddings.mask_token"}


def entries(depth: int) -> Iterator[Entry]:
    """Every array of a ViT of so many blocks."""
    yield Entry(("cls_token",), "cls_token", ("embeddings.cls_token",))
    yield Entry(("pos_embed",), "pos_embed", ("embeddings.position_embeddings",))
    patch = "embeddings.patch_embeddings.projection"
    yield from _weight_and_bias(("patch_embed",), "patch_embed.proj", (patch,))
    for n in range(depth):
        block, theirs = f"block_{n}", f"encoder.layer.{n}"
        for ours, original, parts in _MODULES:
            names = tuple(f"{theirs}.{part}" for part in parts)
            yield from _weight_and_bias((block, ours), f"blocks.{n}.{original}", names)
        for ours, original, gain in _GAINS:
            yield Entry((block, ours), f"blocks.{n}.{original}", (f"{theirs}.{gain}",))
    yield from _weight_and_bias(("norm",), "norm", ("layernorm",))


def _weight_and_bias(ours, original, hugging_face) -> Iterator[Entry]:
    weight = "scale" if ours[-1].startswith("norm") else "kernel"
    for leaf, theirs in ((weight, "weight"), ("bias", "bias")):
        names = tuple(f"{name}.{theirs}" for name in hugging_face)
        yield Entry((*ours, leaf), f"{original}.{theirs}", names)


def convert(tensors: dict[str, np.ndarray], model: DinoV2, path: str | Path) -> dict:
    """The parameters of `model`, from tensors in either layout, float32.

    Args:
      path: what errors call the file.

    Raises:
      TensorFileError: neither layout, or a tensor that is missing, too many or of another shape;
        names it.
    """
    original = "cls_token" in tensors
    if not original and "embeddings.cls_token" not in tensors:
        raise TensorFileError(
            f"{path}: has neither cls_token nor embeddings.cls_token, as DINOv2 weights have; "
            f"found {', '.join(sorted(tensors)[:3])} and others, {len(tensors)} in all"
        )
    params, used = {}, set(_DROPPED)
    shapes = shapes_of(model)
    for entry in entries(model.depth):
        names = (entry.original,) if original else entry.hugging_face
        expected = _value(shapes, entry.ours).shape
        parts = [_part(tensors, name, expected, len(names), model, path) for name in names]
        *above, leaf = entry.ours
        parent = params
        for key in above:
            parent = parent.setdefault(key, {})
        parent[leaf] = np.concatenate(parts, axis=-1)
        used.update(names)
    if unknown := sorted(tensors.keys() - used):
        raise TensorFileError(
            f"{path}: {unknown[0]} is no part of a ViT of {model.depth} blocks without registers; "
            f"{len(unknown)} such tensors. Expected DINOv2 ViT-S/14"
        )
    return params


@functools.lru_cache(maxsize=4)
def shapes_of(model: DinoV2) -> dict:
    """The shapes and kinds of a model's parameters."""
    image = jax.ShapeDtypeStruct((1, model.patch, model.patch, 3), np.uint8)
    return jax.eval_shape(model.init, jax.random.key(0), image)["params"]


def _value(tree: dict, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _part(tensors, name, ours, parts, model, path) -> np.ndarray:
    """One tensor of a file as ours: (out, in) to (in, out), patches' (W, 3, y, x) to (y x 3, W)."""
    if name not in tensors:
        raise TensorFileError(f"{path}: {name} is missing; expected DINOv2 ViT-S/14")
    found = tensors[name]
    shape = (*ours[:-1], ours[-1] // parts)
    is_patches = "patch_embed" in name and len(shape) == 2
    if is_patches:
        expected = (shape[1], 3, model.patch, model.patch)
    else:
        expected = shape[::-1] if len(shape) == 2 else shape
    if found.shape != expected:
        raise TensorFileError(
            f"{path}: {name} has shape {found.shape}, expected {expected} of DINOv2 ViT-S/14"
        )
    if is_patches:
        found = found.transpose(2, 3, 1, 0).reshape(shape)
    elif len(shape) == 2:
        found = found.T
    return np.asarray(found, np.float32)


def check(config: ConfigDict) -> None:
    """Finds what is wrong with the weights that a config asks for.

    Raises:
      ConfigError: none are named.
      FileNotFoundError, TensorFileError: see `tensor_file.read` and `convert`.
    """
    policy = config.policy
    if policy.encoder != vision.DINOV2:
        return
    if not policy.dinov2_weights:
        raise ConfigError(WHERE)
    if policy.dinov2_weights != SCRATCH:
        _load(policy.dinov2_weights)


def _load(path: str) -> dict:
    return convert(tensor_file.read(path), DinoV2(), path)


def with_weights(params: dict, config: ConfigDict) -> dict:
    """A policy's initial parameters, each view's ViT replaced by the weights that a config names.

    Raises:
      FileNotFoundError, TensorFileError: see `tensor_file.read` and `convert`.
    """
    if config.policy.encoder != vision.DINOV2 or config.policy.dinov2_weights == SCRATCH:
        return params
    loaded = _load(config.policy.dinov2_weights)
    views = params["params"]["vision"]
    new = {name: jax.tree.map(jnp.asarray, loaded) for name in views if name.startswith("view_")}
    return {**params, "params": {**params["params"], "vision": {**views, **new}}}
