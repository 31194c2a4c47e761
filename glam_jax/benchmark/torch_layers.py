"""The layers of `models.layers`, `modules` and `vision` in PyTorch, to measure against.

Lists of submodules are named for the Flax layers that they hold, in the order of their calls:
`torch_weights` maps parameters by these names. Images are in channels-last memory, PyTorch's
faster layout for convolutions on CPU; flattening them row by row is then free, as in Flax.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glam_jax.models.vision import LEAST_MASS

EPSILON = 1e-6  # of Flax's LayerNorm


def linears(*sizes: tuple[int, int]) -> nn.ModuleList:
    """Linear layers of (inputs, outputs)."""
    return nn.ModuleList(nn.Linear(*size) for size in sizes)


def norms(width: int, count: int) -> nn.ModuleList:
    """So many LayerNorms of a width."""
    return nn.ModuleList(nn.LayerNorm(width, EPSILON) for _ in range(count))


class ResMLP(nn.Module):
    """`layers.ResMLP`: (..., D) -> (..., width)."""

    def __init__(self, inputs: int, blocks: int, width: int):
        super().__init__()
        self.dense = linears((inputs, width), *[(width, width)] * (2 * blocks))
        self.norm = norms(width, blocks)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dense[0](x)
        for block, norm in enumerate(self.norm):
            r = F.gelu(self.dense[2 * block + 1](norm(h)), approximate="tanh")
            h = h + self.dense[2 * block + 2](r)
        return h


class MLP(nn.Module):
    """`layers.MLP`, the action decoder: (..., D) -> (..., features)."""

    def __init__(self, inputs: int, layers: int, width: int, features: int):
        super().__init__()
        widths = [inputs, *[width] * (layers - 1), features]
        self.dense = linears(*zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        for dense in self.dense[:-1]:
            x = F.relu(dense(x), inplace=True)
        return self.dense[-1](x)


def flat(x_BxCxHxW: Tensor) -> Tensor:
    """(B, C, H, W) in channels-last memory -> (B, H W C), without a copy."""
    return x_BxCxHxW.permute(0, 2, 3, 1).flatten(1)


class ConvEncoder(nn.Module):
    """`layers.ConvEncoder`: (B, C, H, W) in [0, 1] -> (B, features)."""

    def __init__(self, side: int, inputs: int, channels: Sequence[int], features: int):
        super().__init__()
        widths = [inputs, *channels]
        pairs = zip(widths, widths[1:], strict=False)
        self.halving = nn.ModuleList(nn.Conv2d(c, d, 4, 2, 1) for c, d in pairs)
        last = side // 2 ** len(channels)
        self.dense = linears((last * last * channels[-1], features))
        self.scale = 0.1

    def forward(self, image: Tensor) -> Tensor:
        x = image - 0.5
        for conv in self.halving:
            x = F.relu(conv(x), inplace=True)
        x = self.dense[0](flat(x))
        return self.scale * F.layer_norm(x, x.shape[-1:], eps=EPSILON)


class ConvDecoder(nn.Module):
    """`layers.ConvDecoder`: (B, Y) -> (B, C, H, W)."""

    def __init__(self, side: int, features: int, channels: Sequence[int], outputs: int):
        super().__init__()
        self.side, self.top = side // 2 ** len(channels), channels[-1]
        self.dense = linears((features, self.side**2 * self.top))
        widths = [*channels[::-1], outputs]
        pairs = zip(widths, widths[1:], strict=False)
        self.doubling = nn.ModuleList(nn.ConvTranspose2d(d, c, 4, 2, 1) for d, c in pairs)
        self.scale = 0.1

    def forward(self, y: Tensor) -> Tensor:
        x = F.relu(self.dense[0](y / self.scale), inplace=True)
        x = x.view(-1, self.side, self.side, self.top).permute(0, 3, 1, 2)
        for conv in self.doubling[:-1]:
            x = F.relu(conv(x), inplace=True)
        return self.doubling[-1](x)


class SmallEncoder(nn.Module):
    """`vision.SmallEncoder`: (B, 3, H, W) in [0, 255] -> (B, features)."""

    def __init__(self, side: int, channels: Sequence[int], features: int):
        super().__init__()
        patch, local, last = channels
        maps = 2 * (local + last) + (side // 8) ** 2 * last
        # A Linear over patches, whose weight is a matrix to the optimizer, as ours is.
        self.dense = linears((4 * 4 * 3, patch), (maps, features))
        self.conv = nn.ModuleList([nn.Conv2d(patch, local, 3, padding=1)])
        self.halving = nn.ModuleList([nn.Conv2d(local, last, 4, 2, 1)])

    def forward(self, image: Tensor) -> Tensor:
        kernel = self.dense[0].weight.view(-1, 4, 4, 3).permute(0, 3, 1, 2)
        x = F.conv2d(image / 255.0 - 0.5, kernel, self.dense[0].bias, stride=4)
        fine = F.relu(self.conv[0](F.relu(x, inplace=True)), inplace=True)
        coarse = F.relu(self.halving[0](fine))
        return self.dense[1](
            torch.cat([centre_of_mass(fine), centre_of_mass(coarse), flat(coarse)], -1)
        )


def centre_of_mass(x_BxCxHxW: Tensor) -> Tensor:
    """`vision.centre_of_mass`: (B, C, H, W) -> (B, 2 C)."""
    h, w = x_BxCxHxW.shape[2:]
    mass = x_BxCxHxW + LEAST_MASS
    # Both sums over one axis first: few numbers are left for the other.
    over_rows, over_columns = mass.sum(2), mass.sum(3)
    total = over_rows.sum(2)
    across = over_rows @ torch.linspace(-1.0, 1.0, w, device=mass.device)
    down = over_columns @ torch.linspace(-1.0, 1.0, h, device=mass.device)
    return torch.cat([across / total, down / total], -1)
