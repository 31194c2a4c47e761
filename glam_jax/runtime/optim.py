"""The optimizer, the train state, and the moving average of parameters used at evaluation."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from flax import struct

# Leaves of these names are biases and normalisation gains: decaying them only biases the model.
UNDECAYED = ("bias", "scale")

# Iterations that orthogonalise Muon's momentum, most of its cost on CPU. Three, from AOL's
# better start, did as well as the usual five (docs/lifting.md).
NEWTON_SCHULZ_STEPS = 3


@struct.dataclass
class TrainState:
    """Everything that training changes, as one pytree.

    Attributes:
      step: int32 scalar, the number of updates done.
      params: the model's parameters, a nested dict of arrays.
      ema: exponential moving average of `params`, same structure; evaluation uses it.
      opt_state: the optimizer's own state.
    """

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any


def make_schedule(learning_rate: float, warmup_steps: int, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 over `warmup_steps`, then a cosine to 0 at `steps`.

    Raises:
      ValueError: if the warm-up is not shorter than the run.
    """
    if not 0 <= warmup_steps < steps:
        raise ValueError(
            f"warmup_steps: found {warmup_steps}, expected at least 0 and fewer than steps={steps}"
        )
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else learning_rate,
        peak_value=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps,
    )


def make_optimizer(
    *,
    learning_rate: float,
    steps: int,
    matrix_learning_rate: float = 0.0,
    warmup_steps: int = 0,
    weight_decay: float = 0.0,
    clip: float = 10.0,
) -> optax.GradientTransformation:
    """AdamW with Nesterov momentum, after clipping the gradient's global norm, with
    `make_schedule`'s learning rates; Linear layers' matrices by Muon (Jordan et al., 2024) where
    they have a rate of their own.

    Muon's update is the momentum with all its singular values brought to about 1, so that the
    rare directions of a batch are learnt as fast as the common ones.

    Args:
      learning_rate: peak learning rate of AdamW.
      steps: length of the run in updates; the rates reach 0 there.
      matrix_learning_rate: peak learning rate of Muon; 0 leaves everything to AdamW.
      warmup_steps: updates of linear warm-up.
      weight_decay: decoupled decay, times the learning rate; matrices and kernels only.
      clip: largest global norm of the gradient.

    Raises:
      ValueError: if the warm-up is not shorter than the run, a learning rate is negative, or
        `clip` is not positive.
    """
    if clip <= 0:
        raise ValueError(f"clip: found {clip}, expected a positive gradient norm")
    for name, rate in (
        ("learning_rate", learning_rate),
        ("matrix_learning_rate", matrix_learning_rate),
    ):
        if rate < 0:
            raise ValueError(f"{name}: found {rate}, expected at least 0")
    schedule = make_schedule(learning_rate, warmup_steps, steps)
    update = optax.adamw(schedule, weight_decay=weight_decay, mask=decayed, nesterov=True)
    if matrix_learning_rate:
        # optax's Muon would update the other leaves too, but decay all of them.
        muon = optax.contrib.muon(
            make_schedule(matrix_learning_rate, warmup_steps, steps),
            ns_steps=NEWTON_SCHULZ_STEPS,
            preconditioning="aol",
            weight_decay=weight_decay,
        )
        update = optax.partition({"muon": muon, "adamw": update}, _updated_by)
    return optax.chain(optax.clip_by_global_norm(clip), update)


def _updated_by(params: Any) -> Any:
    """The optimizer of each leaf: "muon" for the kernels of Linear layers, else "adamw"."""

    def name(path, leaf) -> str:
        matrix = leaf.ndim == 2 and getattr(path[-1], "key", None) == "kernel"
        return "muon" if matrix else "adamw"

    return jax.tree_util.tree_map_with_path(name, params)


def decayed(params: Any) -> Any:
    """True for each leaf that weight decay applies to: all but vectors, biases and gains."""

    def decays(path, leaf) -> bool:
        return leaf.ndim > 1 and getattr(path[-1], "key", None) not in UNDECAYED

    return jax.tree_util.tree_map_with_path(decays, params)


def init_state(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update; the average starts at the parameters themselves."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        # Copies: a donated state must not hold one buffer twice, nor the caller's own.
        params=jax.tree.map(jnp.copy, params),
        ema=jax.tree.map(jnp.copy, params),
        opt_state=optimizer.init(params),
    )


def apply_gradients(
    state: TrainState, gradients: Any, optimizer: optax.GradientTransformation, ema_decay: float
) -> TrainState:
    """One update of the parameters and of their average.

    With t updates done before this one,
        ema <- d ema + (1 - d) params,   d = min(ema_decay, (1 + t) / (10 + t)),
    so that a short run's average is not dominated by its initial parameters.
    """
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(ema_decay, (1.0 + done) / (10.0 + done))
    ema = jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), state.ema, params)
    return TrainState(step=state.step + 1, params=params, ema=ema, opt_state=opt_state)
