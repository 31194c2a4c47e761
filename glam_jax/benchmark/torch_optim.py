"""The optimizer of `runtime.optim` in PyTorch: clipping, Muon, AdamW and the moving average.

Lists of tensors are updated by PyTorch's foreach operations, and matrices of one shape are
orthogonalised together.
"""

import collections

import torch
from torch import Tensor, nn

from glam_jax.runtime.optim import NEWTON_SCHULZ_STEPS, make_schedule

# optax.contrib.muon's defaults.
MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Optimizer:
    """`optim.make_optimizer` with Muon, and `optim.apply_gradients`.

    Muon updates the weights of Linear layers; everything else gets AdamW with Nesterov momentum,
    which decays no vectors.
    """

    def __init__(self, model: nn.Module, run):
        """`run`: the stage's section of the config."""
        self._rates = [
            [float(rate(step)) for step in range(run.steps)]
            for rate in (
                make_schedule(run.matrix_learning_rate, run.warmup_steps, run.steps),
                make_schedule(run.learning_rate, run.warmup_steps, run.steps),
            )
        ]
        self._decay, self._clip, self._ema_decay = run.weight_decay, run.clip, run.ema_decay
        self.params = list(model.parameters())
        self.ema = [p.detach().clone() for p in self.params]
        self.step_count = 0
        self._matrices = [p for p in self.params if p.ndim == 2]
        self._others = [p for p in self.params if p.ndim != 2]
        self._decayed = [p for p in self._others if p.ndim > 1]
        self._momentum = [torch.zeros_like(p) for p in self._matrices]
        self._first = [torch.zeros_like(p) for p in self._others]
        self._second = [torch.zeros_like(p) for p in self._others]

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self) -> Tensor:
        """One update from the parameters' gradients; the gradient's norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.params, self._clip, foreach=True)
        matrix_rate, rate = (rates[self.step_count] for rates in self._rates)
        self._muon(matrix_rate, self.step_count + 1)
        self._adam(rate, self.step_count + 1)
        done = self.step_count
        decay = min(self._ema_decay, (1.0 + done) / (10.0 + done))
        torch._foreach_lerp_(self.ema, self.params, 1.0 - decay)
        self.step_count += 1
        return norm

    def _muon(self, rate: float, step: int) -> None:
        gradients = [p.grad for p in self._matrices]
        torch._foreach_lerp_(self._momentum, gradients, 1.0 - MOMENTUM)
        update = torch._foreach_mul(self._momentum, MOMENTUM / (1.0 - MOMENTUM ** (step + 1)))
        torch._foreach_add_(update, gradients, alpha=(1.0 - MOMENTUM) / (1.0 - MOMENTUM**step))
        update = self._orthogonal(update)
        torch._foreach_mul_(self._matrices, 1.0 - rate * self._decay)
        torch._foreach_add_(self._matrices, update, alpha=-rate)

    def _orthogonal(self, update: list[Tensor]) -> list[Tensor]:
        """Each with its singular values brought to about 1, scaled for its shape."""
        alike = collections.defaultdict(list)
        for index, matrix in enumerate(update):
            alike[matrix.shape].append(index)
        found = list(update)
        for (outputs, inputs), indices in alike.items():
            stack = torch.stack([update[index] for index in indices])
            # The AOL start is no function of X^T alone: rows are outputs where these are fewer.
            flip = outputs >= inputs
            stack = newton_schulz(stack.mT if flip else stack)
            stack = (stack.mT if flip else stack) * max(1.0, outputs / inputs) ** 0.5
            for index, matrix in zip(indices, stack.unbind(), strict=True):
                found[index] = matrix
        return found

    def _adam(self, rate: float, step: int) -> None:
        gradients = [p.grad for p in self._others]
        torch._foreach_lerp_(self._first, gradients, 1.0 - BETA1)
        torch._foreach_mul_(self._second, BETA2)
        torch._foreach_addcmul_(self._second, gradients, gradients, 1.0 - BETA2)
        update = torch._foreach_mul(self._first, BETA1 / (1.0 - BETA1 ** (step + 1)))
        torch._foreach_add_(update, gradients, alpha=(1.0 - BETA1) / (1.0 - BETA1**step))
        scale = torch._foreach_sqrt(self._second)
        torch._foreach_div_(scale, (1.0 - BETA2**step) ** 0.5)
        torch._foreach_add_(scale, EPSILON)
        torch._foreach_mul_(self._decayed, 1.0 - rate * self._decay)
        torch._foreach_addcdiv_(self._others, update, scale, -rate)


def newton_schulz(x: Tensor) -> Tensor:
    """Almost orthogonal rows of (N, R, C), R <= C: AOL's scaling (Boissin et al., 2025), then
    Muon's iterations."""
    a, b, c = COEFFICIENTS
    for iteration in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        if iteration == 0:
            scale = gram.abs().sum(-1, keepdim=True).clamp(min=1e-8).rsqrt()
            x, gram = x * scale, gram * scale * scale.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
