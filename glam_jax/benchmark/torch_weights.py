"""Parameters of the Flax models under the names and in the layouts of the PyTorch ones."""

import re

import numpy as np
import torch
from torch import nn

# Our list of submodules in PyTorch -> the name that Flax numbers such layers under.
_LAYERS = {
    "dense": "Dense", "norm": "LayerNorm", "conv": "Conv", "halving": "HalvingConv",
    "doubling": "DoublingConv", "res_mlp": "ResMLP", "mlp": "MLP", "view": "view",
}  # fmt: skip


def flax_path(name: str, parameter: torch.Tensor) -> tuple[str, ...]:
    """Where a PyTorch parameter is among Flax's.

    >>> flax_path("idm.res_mlp.0.dense.3.weight", torch.zeros(4, 4))
    ('idm', 'ResMLP_0', 'Dense_3', 'kernel')
    """
    joined = re.sub(r"(\w+)\.(\d+)\.", lambda m: f"{_LAYERS[m[1]]}_{m[2]}.", name)
    *path, leaf = joined.split(".")
    if leaf == "weight":
        leaf = "kernel" if parameter.ndim > 1 else "scale"
    return (*path, leaf)


def to_torch(kernel: np.ndarray) -> np.ndarray:
    """(inputs, outputs) -> (outputs, inputs), and (H, W, C, D) -> (D, C, H, W); its own inverse for
    matrices. A transposed convolution's kernel is that of the convolution it transposes."""
    if kernel.ndim == 4:
        return kernel.transpose(3, 2, 0, 1)
    return kernel.T


def tree_of(model: nn.Module, tree: dict) -> dict[str, np.ndarray]:
    """Leaves of a Flax tree, such as parameters or gradients, by PyTorch's names and in its layout.

    Raises:
      ValueError: a leaf has another shape, or the tree leaves that the model has no use for.
    """
    found, left = {}, {path for path, _ in _leaves(tree)}
    for name, parameter in model.named_parameters():
        path = flax_path(name, parameter)
        leaf = tree
        for key in path:
            leaf = leaf[key]
        found[name] = to_torch(np.asarray(leaf))
        left.discard(path)
        if found[name].shape != tuple(parameter.shape):
            raise ValueError(
                f"{'/'.join(path)}: found shape {found[name].shape}, expected "
                f"{tuple(parameter.shape)} of {name}"
            )
    if left:
        raise ValueError(f"no parameter of the PyTorch model is {'/'.join(min(left))}")
    return found


def load(model: nn.Module, params: dict) -> nn.Module:
    """The model with the values of Flax's parameters, copied, kernels in channels-last memory."""
    state = tree_of(model, params["params"])
    model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return model.to(memory_format=torch.channels_last)


def _leaves(tree: dict, path: tuple[str, ...] = ()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
