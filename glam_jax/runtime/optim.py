"""The optimizer, the train state, and the moving average of parameters used at evaluation."""

import collections
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from flax import struct

# Leaves of these names are biases and normalisation gains: decaying them only biases the model.
UNDECAYED = ("bias", "scale")

# Iterations that orthogonalise Muon's momentum, most of its cost on CPU. Three, from AOL's
# better start, did as well as the usual five (docs/what_we_learned.md).
NEWTON_SCHULZ_STEPS = 3
# Matrices of one shape that a CPU orthogonalises together: few enough for its cache.
STACKED_ON_CPU = 8


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
        muon = _muon(make_schedule(matrix_learning_rate, warmup_steps, steps), weight_decay)
        update = optax.partition({"muon": muon, "adamw": update}, _updated_by)
    return optax.chain(optax.clip_by_global_norm(clip), update)


def _muon(learning_rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """`optax.contrib.muon` of matrices alone, those of one shape orthogonalised together."""
    stacked = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    momentum = optax.contrib.scale_by_muon(
        ns_steps=NEWTON_SCHULZ_STEPS,
        preconditioning="aol",
        weight_dimension_numbers=lambda stacks: [stacked] * len(stacks),
    )

    def for_shape(update, _):
        inputs, outputs = update.shape
        return max(1.0, outputs / inputs) ** 0.5 * update

    return optax.chain(
        _by_shape(momentum),
        optax.stateless_with_tree_map(for_shape),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def _by_shape(momentum: optax.GradientTransformation) -> optax.GradientTransformation:
    """`scale_by_muon` on stacks (N, inputs, outputs) of all matrices of one shape.

    On an accelerator a matrix is small work: forty of one shape are one operation instead of forty.
    A CPU takes them `STACKED_ON_CPU` at a time. The state is kept matrix by matrix, as the
    parameters are.
    """

    def update(updates, state, params=None):
        leaves, structure = jax.tree.flatten(updates)
        alike = collections.defaultdict(list)
        for index, leaf in enumerate(leaves):
            alike[leaf.shape].append(index)
        most = STACKED_ON_CPU if jax.default_backend() == "cpu" else len(leaves)
        together = [
            indices[start : start + most]
            for indices in alike.values()
            for start in range(0, len(indices), most)
        ]

        def stack(tree):
            matrices = structure.flatten_up_to(tree)
            return [jnp.stack([matrices[i] for i in indices]) for indices in together]

        def unstack(stacks):
            matrices = {
                index: matrix
                for indices, stack in zip(together, stacks, strict=True)
                for index, matrix in zip(indices, stack, strict=True)
            }
            return structure.unflatten([matrices[index] for index in range(len(leaves))])

        stacked = state._replace(mu=stack(state.mu))
        found, stacked = momentum.update(stack(updates), stacked)
        return unstack(found), stacked._replace(mu=unstack(stacked.mu))

    return optax.GradientTransformation(momentum.init, update)


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
