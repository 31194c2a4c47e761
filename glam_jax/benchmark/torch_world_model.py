"""GLAM and GLAM-O in PyTorch, with the losses of `models.glam`, to measure against."""

import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import Tensor, nn

from glam_jax.benchmark.torch_layers import MLP, ConvDecoder, ConvEncoder, ResMLP, linears
from glam_jax.models.modules import LOG_VARIANCE_RANGE
from glam_jax.schema import Layout

Gaussian = tuple[Tensor, Tensor]  # mean and log variance


class Posterior(nn.Module):
    """`modules.Posterior`."""

    def __init__(self, inputs: int, blocks: int, width: int, latent: int):
        super().__init__()
        self.res_mlp = nn.ModuleList([ResMLP(inputs, blocks, width)])
        self.dense = linears((width, latent), (width, latent))

    def forward(self, *inputs: Tensor) -> Gaussian:
        h = self.res_mlp[0](torch.cat(inputs, -1))
        return self.dense[0](h), self.dense[1](h).clamp(*LOG_VARIANCE_RANGE)


class Residual(nn.Module):
    """`modules.ForwardModel` and `modules.ProprioForward`: a Linear head for each output."""

    def __init__(self, inputs: int, blocks: int, width: int, *outputs: int):
        super().__init__()
        self.res_mlp = nn.ModuleList([ResMLP(inputs, blocks, width)])
        self.dense = linears(*[(width, size) for size in outputs])

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        h = self.res_mlp[0](torch.cat(inputs, -1))
        return [dense(h) for dense in self.dense]


class Glam(nn.Module):
    """`models.glam.Glam`, asymmetric alignment, actions decoded from the action encoder's z."""

    def __init__(self, layout: Layout, model: ConfigDict):
        super().__init__()
        assert (model.alignment, model.action_loss_on) == ("asymmetric", "action_encoder")
        latent, visual, width = model.latent, model.visual, model.width
        self.is_mask, self.latent = model.modality == "mask", latent
        self.rows_per_image = round(1 / model.reconstruct_share)
        images = len(layout.views) * (1 if self.is_mask else 3)
        side, ee, s, a = layout.image_size, layout.ee_dim, layout.proprio_dim, layout.action_dim
        self.encoder = ConvEncoder(side, images, model.channels, visual)
        self.decoder = ConvDecoder(side, visual, model.channels, images)
        state = visual + ee
        self.forward_model = Residual(state + latent, model.forward_blocks, width, visual, ee)
        decoder = MLP(latent, model.decoder_layers, width, a)
        self.action_decoder = nn.ModuleDict({"mlp": nn.ModuleList([decoder])})
        self.idm = Posterior(2 * state, model.posterior_blocks, width, latent)
        self.action_encoder = Posterior(s + a, model.posterior_blocks, width, latent)
        self.proprio_forward = Residual(s + latent, model.proprio_blocks, width, s)

    def draw(self, rows: int, device: torch.device, transitions: int = 1) -> dict[str, Tensor]:
        """The random numbers of one call of `loss`: noise of both posteriors, and the row and the
        frame whose image is reconstructed out of every few rows."""
        runs = rows // self.rows_per_image
        first = torch.arange(0, rows, self.rows_per_image, device=device)
        return {
            "phi": torch.randn(rows, transitions, self.latent, device=device),
            "eta": torch.randn(rows, transitions, self.latent, device=device),
            "row": first + torch.randint(self.rows_per_image, (runs,), device=device),
            "frame": torch.randint(transitions + 1, (runs,), device=device),
        }

    def loss(self, batch: dict[str, Tensor], draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unreduced terms (B,) as `models.glam.Glam.loss`; `batch` is one of its batches."""
        image = batch["image"]
        b, t = image.shape[:2]
        pixels = image.permute(0, 1, 2, 5, 3, 4).flatten(2, 3).flatten(0, 1).float()
        pixels = pixels if self.is_mask else pixels / 255.0
        y_BxTxY = self.encoder(pixels).view(b, t, -1)
        y, step, ee = y_BxTxY[:, :-1], y_BxTxY.diff(dim=1), batch["ee_pose"][:, :-1]
        ee_step, ee_scale = batch["ee_step"], batch["ee_step_scale"]

        q_phi = self.idm(y, step, ee, ee_step)
        forward = self.forward_terms(y, ee, sample(q_phi, draws["phi"]), step, ee_step, ee_scale)
        terms = {
            "forward_y": forward[0],
            "forward_ee": forward[1],
            "kl_idm": kl_to_standard_normal(q_phi),
        }

        proprio, action = batch["proprio"][:, :-1], batch["action"][:, :-1]
        q_eta = self.action_encoder(proprio, action)
        z_eta = sample(q_eta, draws["eta"])
        forward = self.forward_terms(y, ee, z_eta, step, ee_step, ee_scale)
        (predicted,) = self.proprio_forward(proprio, z_eta)
        stopped = (q_eta[0].detach(), q_eta[1].detach())
        terms |= {
            "target_forward_y": forward[0],
            "target_forward_ee": forward[1],
            "proprio": squared((predicted - batch["proprio_step"]) * batch["proprio_step_scale"]),
            "action": squared(self.action_decoder["mlp"][0](z_eta) - action),
            "kl_action_encoder": kl_to_standard_normal(q_eta),
            "alignment": kl_divergence(q_phi, stopped),
        }
        terms = {name: term.mean(1) for name, term in terms.items()}
        seen = draws["row"], draws["frame"]
        error = self.image_error(y_BxTxY[seen], pixels.unflatten(0, (b, t))[seen])
        image_term = error.new_zeros(b).index_put((draws["row"],), error * self.rows_per_image)
        return {"image": image_term, **terms}

    def forward_terms(self, y, ee, z, step, ee_step, ee_scale) -> tuple[Tensor, Tensor]:
        """Squared errors of the forward model, of y and of the pose."""
        dy, dee = self.forward_model(y, ee, z)
        return squared(dy - step), squared((dee - ee_step) * ee_scale)

    def image_error(self, y: Tensor, pixels: Tensor) -> Tensor:
        """Reconstruction error summed over pixels."""
        out = self.decoder(y)
        if self.is_mask:
            error = F.binary_cross_entropy_with_logits(out, pixels, reduction="none")
        else:
            error = F.mse_loss(out, pixels, reduction="none")
        return error.sum((1, 2, 3))


def sample(q: Gaussian, noise: Tensor) -> Tensor:
    """Reparameterised."""
    return q[0] + torch.exp(0.5 * q[1]) * noise


def squared(x: Tensor) -> Tensor:
    """Sum of squares over the last axis."""
    return x.square().sum(-1)


def kl_divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q, p) in nats, summed over dimensions."""
    log_ratio = p[1] - q[1]
    scaled = torch.exp(-log_ratio) + (q[0] - p[0]).square() * torch.exp(-p[1])
    return 0.5 * (log_ratio + scaled - 1.0).sum(-1)


def kl_to_standard_normal(q: Gaussian) -> Tensor:
    """KL(q, N(0, I)) in nats, summed over dimensions."""
    return 0.5 * (q[1].exp() - q[1] + q[0].square() - 1.0).sum(-1)
