"""The latent policy in PyTorch, with the losses of `models.mip`, to measure against."""

import functools
from collections.abc import Sequence

import jax
import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import Tensor, nn

from glam_jax.benchmark.torch_layers import MLP, SmallEncoder, linears, norms
from glam_jax.models.augment import SHADES
from glam_jax.models.mip import T_STAR
from glam_jax.schema import Layout


class ViewsEncoder(nn.Module):
    """`vision.ViewsEncoder` of small encoders: V of (B, 3, H, W) -> (B, out)."""

    def __init__(
        self, views: int, side: int, channels: Sequence[int], features: int, hidden: int, out: int
    ):
        super().__init__()
        self.view = nn.ModuleList(SmallEncoder(side, channels, features) for _ in range(views))
        self.dense = linears((views * features, hidden), (hidden, out))
        self.norm = nn.ModuleList([*norms(hidden, 1), *norms(out, 1)])

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        x = torch.cat([encode(image) for encode, image in zip(self.view, views, strict=True)], -1)
        x = F.gelu(self.norm[0](self.dense[0](x)), approximate="tanh")
        return self.norm[1](self.dense[1](x))


class MipNetwork(nn.Module):
    """`mip.MipNetwork`: f(a, t, c)."""

    def __init__(self, chunk: int, label: int, condition: int, layers: int, width: int):
        super().__init__()
        sizes = [(width, width)] * (layers - 2)
        self.dense = linears((chunk * label + 128 + condition, width), *sizes)
        self.dense.append(nn.Linear(width, chunk * label))
        self.norm = norms(width, layers - 2)

    def forward(self, chunk: Tensor, t: float, condition: Tensor) -> Tensor:
        angle = t * torch.linspace(0.0, 100.0, 64, device=chunk.device)
        time = torch.cat([angle.sin(), angle.cos()]).expand(len(chunk), -1)
        x = self.dense[0](torch.cat([chunk.flatten(1), time, condition], -1))
        for norm, dense in zip(self.norm, self.dense[1:-1], strict=True):
            x = x + dense(F.mish(norm(x)))
        return self.dense[-1](x).view_as(chunk)


class MipPolicy(nn.Module):
    """`mip.MipPolicy` that decodes latents and is told its pose."""

    def __init__(self, layout: Layout, label_dim: int, policy: ConfigDict):
        super().__init__()
        assert (policy.proprio, policy.encoder, policy.view_size) == ("ee_pose", "conv", 0)
        self.shape = (policy.chunk, label_dim)
        self.views = len(layout.views)
        self.pixels, self.jitter = policy.shift_pixels, policy.colour_jitter
        self.pose_noise = policy.pose_noise
        self.ee_dim, side = layout.ee_dim, layout.image_size
        self.shading = policy.shading / len(SHADES) ** 0.5
        # Interpolation along one axis, from each grid: (H, cells).
        grids = [jax.image.resize(np.eye(n, dtype=np.float32), (side, n), "cubic") for n in SHADES]
        for n, grid in zip(SHADES, grids, strict=True):
            self.register_buffer(f"grid_{n}", torch.tensor(np.asarray(grid)), persistent=False)
        self.vision = ViewsEncoder(
            self.views, side, policy.channels, policy.features, policy.hidden, policy.condition
        )
        condition, width = policy.condition + layout.ee_dim, policy.width
        self.network = MipNetwork(policy.chunk, label_dim, condition, policy.layers, width)
        decoder = MLP(label_dim, policy.decoder_layers, width, layout.action_dim)
        self.action_decoder = nn.ModuleDict({"mlp": nn.ModuleList([decoder])})

    def draw(self, rows: int, device: torch.device) -> dict[str, Tensor]:
        """The random numbers of one call of `loss`: corners of the crops, grids of the shading,
        colours, noise of the labels and of the pose."""
        normal = functools.partial(torch.randn, device=device)
        shades = {f"shade_{n}": normal(rows, self.views, n, n, 3) for n in SHADES if self.shading}
        return shades | {
            "corner": torch.randint(2 * self.pixels + 1, (rows, self.views, 2), device=device),
            "colours": torch.rand(rows, 4, device=device) * 2.0 - 1.0,
            "noise": normal(rows, *self.shape),
            "pose": normal(rows, self.ee_dim),
        }

    def augmented(self, image_BxVxHxWx3: Tensor, draws: dict[str, Tensor]) -> list[Tensor]:
        """`augment.random_shift`, `random_shading` and `random_colours`: of each view
        (B, 3, H, W), channels last."""
        b, v, h, w, c = image_BxVxHxWx3.shape
        shift = draws["corner"] - self.pixels
        arange = functools.partial(torch.arange, device=shift.device)
        rows = (arange(h) + shift[..., :1]).clamp_(0, h - 1)
        columns = (arange(w) + shift[..., 1:]).clamp_(0, w - 1)
        source = (rows[..., None] * w + columns[..., None, :]).flatten(2)
        # Whole pixels of the flat list of all: several times faster than indexing three axes.
        offset = arange(b * v).view(b, v, 1) * (h * w)
        pixels = image_BxVxHxWx3.reshape(-1, c).index_select(0, (source + offset).view(-1))
        image = pixels.view(b, v, h, w, c).float()
        if self.shading:
            fields = [
                torch.einsum("hm,bvmnc,wn->bvhwc", grid, draws[f"shade_{n}"], grid)
                for n, grid in ((n, getattr(self, f"grid_{n}")) for n in SHADES)
            ]
            image = image * (1.0 + self.shading * sum(fields))
        draw = self.jitter * draws["colours"][:, None, None, None]
        image = image * (1.0 + draw[..., :3]) + 127.5 * draw[..., 3:]
        return [view.permute(0, 3, 1, 2) for view in image.unbind(1)]

    def loss(self, batch: dict[str, Tensor], draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unreduced terms (B,) as `mip.MipPolicy.loss`."""
        label, valid = batch["label"], batch["valid"]
        views = self.augmented(batch["image"], draws)
        pose = batch["ee_pose"] + self.pose_noise * draws["pose"]
        condition = torch.cat([self.vision(views), pose], -1)
        first = self.network(torch.zeros_like(label), 0.0, condition)
        noisy = label + (1.0 - T_STAR) * draws["noise"]
        second = self.network(noisy, T_STAR, condition)
        share = valid / valid.sum(1, keepdim=True).clamp(min=1.0)

        def per_row(error: Tensor) -> Tensor:
            return (error.square().sum(-1) * share).sum(-1)

        decoded = self.action_decoder["mlp"][0](torch.stack([first, second]))
        return {
            "first": 0.1 * per_row((first - label) / T_STAR),
            "second": 0.1 * per_row((second - label) / (1.0 - T_STAR)),
            "action": per_row(decoded - batch["action"]).sum(0),
        }
