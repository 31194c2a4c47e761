"""Arrays of a file of weights: .safetensors, or .pth where PyTorch is installed."""

from pathlib import Path

import ml_dtypes  # noqa: F401 (tells numpy of bfloat16)
import numpy as np
import safetensors.numpy

from glam_jax.errors import UserError


class TensorFileError(UserError, ValueError):
    """A file of tensors that is damaged, or holds what is not admitted, or cannot be read here."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of every tensor of a file; which kind it is of, its content says.

    Raises:
      FileNotFoundError: no such file.
      TensorFileError: neither of the two, or damaged; a .pth with anything but a dict of tensors,
        or without PyTorch.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"policy.dinov2_weights: there is no file {path}")
    with path.open("rb") as file:
        head = file.read(9)
    if head[:2] == b"PK":
        return _read_pth(path)
    if head[8:] == b"{":
        return _read_safetensors(path)
    raise TensorFileError(f"{path}: neither a .pth of PyTorch 1.6 or later nor a .safetensors file")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, TypeError) as error:  # numpy lacks some kinds of number
        raise TensorFileError(f"{path}: not a whole .safetensors file ({_line(error)})") from None


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    """A .pth is a pickle, which could run any code: with `weights_only` PyTorch admits tensors."""
    try:
        import torch
    except ImportError:
        raise TensorFileError(
            f"{path}: a .pth is read by PyTorch, which is not installed; give a .safetensors file, "
            "or pip install torch"
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can end in nearly any exception
        raise TensorFileError(f"{path}: PyTorch does not read it ({_line(error)})") from None
    if not isinstance(found, dict):
        raise TensorFileError(f"{path}: holds a {type(found).__name__}; expected a dict of tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise TensorFileError(
                f"{path}: {name!r} is a {type(value).__name__}; expected a tensor under a name"
            )
    return {name: value.detach().float().numpy() for name, value in found.items()}


def _line(error: Exception) -> str:
    """What an error says, or how it is called, in its first line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
