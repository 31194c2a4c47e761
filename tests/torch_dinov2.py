"""DINOv2 ViT-S/14 in PyTorch to its published architecture, random weights, in both layouts.

Written anew for the tests; parameters have the names that facebookresearch's file has.
"""

import re

import torch
from torch import nn
from torch.nn import functional as F

DEPTH, WIDTH, HEADS, PATCH, GRID = 12, 384, 6, 14, 37


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        weight = torch.softmax(q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5, dim=-1)
        return self.proj((weight @ v).transpose(1, 2).reshape(b, t, WIDTH))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return self.gamma * x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn, self.mlp = Attention(), Mlp()
        self.ls1, self.ls2 = LayerScale(), LayerScale()

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class DinoV2(nn.Module):
    """(B, 3, H, W) normalised pixels -> class token (B, 384)."""

    def __init__(self, seed: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID**2, WIDTH))
        self.mask_token = nn.Parameter(torch.zeros(1, WIDTH))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, leaf in self.named_parameters():
                # Gains around 1; weights large enough that every part moves the output.
                leaf.normal_(0.0, 0.06 if leaf.ndim > 1 else 0.3, generator=generator)
                if "norm" in name and name.endswith("weight") or "gamma" in name:
                    leaf.add_(1.0)
            self.pos_embed.mul_(10.0)

    def forward(self, image, scaled: bool):
        x = self.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = x + resized(self.pos_embed, image.shape[-1] // PATCH, scaled)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


def resized(pos_embed, n: int, scaled: bool):
    """Positions for n x n patches: by a scale factor as the original (`scaled`), else to a size."""
    if n == GRID:
        return pos_embed
    patch = pos_embed[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
    how = {"scale_factor": ((n + 0.1) / GRID,) * 2} if scaled else {"size": (n, n)}
    patch = F.interpolate(patch, mode="bicubic", antialias=False, **how)
    assert patch.shape[-2:] == (n, n)
    return torch.cat([pos_embed[:, :1], patch.permute(0, 2, 3, 1).reshape(1, n * n, -1)], dim=1)


HUGGING_FACE = (
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
    (r"^blocks\.", "encoder.layer."),
    (r"attn\.proj", "attention.output.dense"),
    (r"ls([12])\.gamma", r"layer_scale\1.lambda1"),
    (r"^norm\.", "layernorm."),
)


def hugging_face(state: dict) -> dict:
    """The same tensors under Hugging Face's names, query, key and value apart."""
    out = {}
    for name, tensor in state.items():
        for pattern, new in HUGGING_FACE:
            name = re.sub(pattern, new, name)
        if ".attn.qkv." not in name:
            out[name] = tensor.contiguous()
            continue
        for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            out[name.replace("attn.qkv", f"attention.attention.{part}")] = third.contiguous()
    return out
