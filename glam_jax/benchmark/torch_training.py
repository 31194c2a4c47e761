"""Training of both stages in PyTorch: the same work as `training.Trainer`, on the same data."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor

from glam_jax.benchmark import samples, torch_weights, training
from glam_jax.benchmark.torch_optim import Optimizer
from glam_jax.benchmark.torch_policy import MipPolicy
from glam_jax.benchmark.torch_world_model import Glam
from glam_jax.data import feeds
from glam_jax.models.glam import Glam as OurGlam
from glam_jax.models.mip import MipPolicy as OurMipPolicy
from glam_jax.schema import MODALITIES
from glam_jax.stages import units

Tensors = dict[str, Tensor]


def device() -> torch.device:
    """PyTorch's name for the kind of device that JAX computes on.

    Raises:
      RuntimeError: JAX has an accelerator that this PyTorch has not.
    """
    backend = jax.default_backend()
    if backend == "cpu":
        return torch.device("cpu")
    if backend != "gpu" or not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} cannot use the {backend} that JAX uses")
    return torch.device("cuda")


def as_tensors(tree: Any) -> Any:
    """Arrays of nested dicts as tensors on the device, without a copy where that is possible."""
    if isinstance(tree, dict):
        return {name: as_tensors(value) for name, value in tree.items()}
    return torch.from_numpy(np.array(tree)).to(device())


class Queued:
    """What a call has queued on the device: waited for as JAX's arrays are."""

    def block_until_ready(self) -> None:
        """Waits for all that was queued."""
        if device().type == "cuda":
            torch.cuda.synchronize()


def normalized(x: Tensor, stats: Tensors) -> Tensor:
    """`normalize.normalize`."""
    return (x - stats["mean"]) / stats["std"]


class Stage:
    """What both stages share: model, data on hand, loss and optimizer of a config.

    Attributes:
      model: with the parameters that are given. optimizer: of it.
      is_target: (B,) which rows are target rows.
    """

    rows_of: dict[str, str]

    def __init__(self, stage: str, config: ConfigDict, params: dict):
        self.run, self.device = config[stage], device()
        if self.device.type == "cuda":
            # As XLA does by default: float32 products in TF32.
            torch.set_float32_matmul_precision("high")
        data, stats = samples.store(config.image_size, training.FRAMES)
        self.stats = as_tensors(self.statistics(config, data, stats))
        every = np.arange(len(data.arrays["last"]))
        self.data = as_tensors(
            {
                name: data.pictures(name, every) if name in MODALITIES else data.arrays[name]
                for name in self.names(config)
            }
        )
        self.model = torch_weights.load(self.make(config, data), params).to(self.device)
        self.optimizer = Optimizer(self.model, self.run)
        self.weights = self.run.weights.to_dict()
        is_target = feeds.target_rows(self.run.batch, self.run.target_share)
        self.is_target = as_tensors(is_target)
        starts = [data.starts_of(self.following, target) for target in (True, False)]
        self._starts = [as_tensors(found).long() for found in starts]
        self._places = [self.is_target.nonzero()[:, 0], (~self.is_target).nonzero()[:, 0]]

    following = 1

    def frames(self) -> Tensor:
        """First frames (B,) of a batch, drawn evenly."""
        found = torch.empty(self.run.batch, dtype=torch.long, device=self.device)
        for starts, places in zip(self._starts, self._places, strict=True):
            found[places] = starts[torch.randint(len(starts), places.shape, device=self.device)]
        return found

    def batch(self) -> Tensors:
        """The next batch, as the pipeline's, from data in memory."""
        return self.gather(self.frames()) | {"is_target": self.is_target.float()}

    def losses(self, batch: Tensors, draws: Tensors) -> tuple[Tensor, Tensors]:
        """The weighted sum and the mean of every term; `batch` as of the pipeline."""
        terms = self.terms(batch, draws)
        target = batch["is_target"] > 0
        count = max(int(self._places[0].numel()), 1)
        means = {
            name: term.where(target, 0.0).sum() / count if self.rows_of[name] == "target"
            else term.mean()
            for name, term in terms.items()
        }  # fmt: skip
        return sum(self.weights[name] * mean for name, mean in means.items()), means

    def compiled(self) -> Callable:
        """`losses` by torch.compile: forward and backward pass, the optimizer apart."""
        return torch.compile(self.losses)

    def update(self, loss: Callable | None = None) -> Tensors:
        """One training step; `loss` in place of `losses`, such as it compiled."""
        draws = self.model.draw(self.run.batch, self.device)
        total, means = (loss or self.losses)(self.batch(), draws)
        self.optimizer.zero_grad()
        total.backward()
        norm = self.optimizer.step()
        return {name: mean.detach() for name, mean in means.items()} | {"grad_norm": norm}


class Pretrain(Stage):
    """Stage 1 on windows of T frames."""

    rows_of = OurGlam.term_rows

    def make(self, config, data):
        return Glam(data.layout, config.world_model)

    def names(self, config):
        return (config.world_model.modality, "ee_pose", "proprio", "action")

    def statistics(self, config, data, stats):
        self.following = config.pretrain.window - 1
        self.modality = config.world_model.modality
        return stats

    def gather(self, frames: Tensor) -> Tensors:
        window = frames[:, None] + torch.arange(self.following + 1, device=self.device)
        named = {"image": self.modality, "ee_pose": "ee_pose"}
        named |= {name: name for name in ("proprio", "action")}
        return {name: self.data[source][window] for name, source in named.items()}

    def terms(self, batch: Tensors, draws: Tensors) -> Tensors:
        target = batch["is_target"][:, None, None]
        ee, proprio = self.stats["ee_pose"], self.stats["proprio"]
        seen = {
            "image": batch["image"],
            "ee_pose": normalized(batch["ee_pose"], ee),
            "ee_step": batch["ee_pose"].diff(dim=1) / ee["diff_std"],
            "ee_step_scale": ee["diff_std"] / ee["std"],
            "proprio": normalized(batch["proprio"], proprio) * target,
            "proprio_step": batch["proprio"].diff(dim=1) / proprio["diff_std"] * target,
            "proprio_step_scale": proprio["diff_std"] / proprio["std"],
            "action": normalized(batch["action"], self.stats["action"]) * target,
        }
        return self.model.loss(seen, draws)


class Clone(Stage):
    """Stage 2 on observations and the chunks that follow them."""

    rows_of = OurMipPolicy.term_rows

    def make(self, config, data):
        return MipPolicy(data.layout, config.world_model.latent, config.policy)

    def names(self, config):
        return ("rgb", "ee_pose", "action", "last")

    def statistics(self, config, data, stats):
        self.chunk = config.policy.chunk
        labels = samples.labels(data, config.world_model.latent)
        per_frame = np.zeros((len(data.arrays["last"]), labels.shape[1]), np.float32)
        per_frame[data.transition_frames()] = labels
        self.labels = as_tensors(per_frame)
        return units.label_statistics(labels, stats, latent=True)

    def gather(self, frames: Tensor) -> Tensors:
        last = self.data["last"][frames, None]
        wanted = frames[:, None] + torch.arange(self.chunk, device=self.device)
        chunk = torch.minimum(wanted, last)
        return {
            "image": self.data["rgb"][frames],
            "ee_pose": self.data["ee_pose"][frames],
            "label": self.labels[chunk],
            "action": self.data["action"][chunk],
            "valid": (wanted <= last).float(),
        }

    def terms(self, batch: Tensors, draws: Tensors) -> Tensors:
        label = self.stats["label"]
        low, high = label["min"], label["max"]
        seen = {
            "image": batch["image"],
            "ee_pose": normalized(batch["ee_pose"], self.stats["ee_pose"]),
            "label": 2 * (batch["label"] - low) / (high - low) - 1,
            "action": normalized(batch["action"], self.stats["action"]),
            "valid": batch["valid"],
        }
        return self.model.loss(seen, draws)


STAGES = {"pretrain": Pretrain, "clone": Clone}


def make(stage: str, config: ConfigDict, params: dict) -> Stage:
    """A stage with given parameters of the Flax model."""
    return STAGES[stage](stage, config, params)
