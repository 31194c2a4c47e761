"""The train loop: the only one. It receives a loss, batches and hooks, and knows no model."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from glam_jax.runtime import hosts, sharding
from glam_jax.runtime.optim import TrainState, apply_gradients
from glam_jax.runtime.preemption import STOPPED, Preempted, Preemption
from glam_jax.runtime.steplog import StepLog

Metrics = dict[str, jax.Array]
Loss = Callable[[Any, Any, jax.Array, Any], tuple[jax.Array, Metrics]]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
Amend = Callable[[TrainState, Metrics, jax.Array], tuple[TrainState, Metrics]]
Hook = Callable[[int, TrainState], dict[str, float] | None]

# Seconds of a call, if an update is no longer: between calls progress shows, and a request to stop
# is seen.
LONGEST_CALL = 2.0
# Steps between which several hosts do not ask each other whether to stop.
AGREE_EVERY = 20
# What `Amend`'s key is folded from the step's with: no loss splits off that many keys.
AMEND_KEY = 0x7FFFFFFF


class Feed(Protocol):
    """Where batches come from: `fetch` on the host, `assemble` inside the jitted train step.

    Attributes:
      resident: True if `fetch` gives the same device arrays whatever the step.
      ahead: most steps of one `fetch`, if it is not resident.
      batch, row_axis, only: of use on several devices alone; see `feeds.Feed`.
    """

    resident: bool
    ahead: int

    def fetch(self, step: int, count: int) -> Any:
        """What the device needs for the batches of `count` steps from this one on, a pytree of
        arrays, of the same shapes whatever the count."""

    def assemble(self, fetched: Any, step: jax.Array) -> Any:
        """The batch of this step; pure JAX."""


def make_train_step(
    loss: Loss,
    assemble: Callable[[Any, jax.Array], Any],
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    amend: Amend | None = None,
    accumulate: int = 1,
) -> TrainStep:
    """The pure train step: assemble the batch, differentiate the loss, update.

    Args:
      loss: (params, batch, key, statistics) -> (scalar to minimise, dict of scalars to log, or of
        what `amend` makes scalars of).
      assemble: the feed's.
      optimizer: see `optim.make_optimizer`.
      ema_decay: see `optim.apply_gradients`.
      amend: (state after the update, metrics, key) -> the same, changed: what training does
        that no gradient does. Pure.
      accumulate: pieces that the batch is cut into along the first axis of its arrays, and
        differentiated in one after the other: less memory. The loss must be a mean over rows.

    Returns:
      train_step(state, fetched, constants, mean) -> (state, metrics): the loss's own metrics,
      `loss`, and `grad_norm`, the gradient's global norm before clipping. `constants` are those of
      `constants_of`; the noise of step t comes from fold_in(key(seed), t). Where the batch is a
      part of a larger one, `mean` takes (gradients, metrics) of all parts to their mean.
    """

    def train_step(
        state: TrainState, fetched: Any, constants: dict, mean: Callable = lambda parts: parts
    ) -> tuple[TrainState, Metrics]:
        batch = assemble(fetched, state.step)
        key = jax.random.fold_in(jax.random.key(constants["seed"]), state.step)

        def differentiate(piece):
            value_and_grad = jax.value_and_grad(loss, has_aux=True)
            (value, terms), gradients = value_and_grad(
                state.params, piece, key, constants["statistics"]
            )
            return gradients, {**terms, "loss": value}

        gradients, metrics = mean(_piecewise(differentiate, batch, accumulate))
        metrics["grad_norm"] = optax.tree.norm(gradients)
        state = apply_gradients(state, gradients, optimizer, ema_decay)
        if amend:
            state, metrics = amend(state, metrics, jax.random.fold_in(key, AMEND_KEY))
        return state, metrics

    return train_step


def constants_of(seed: int, statistics: Any) -> dict:
    """What stays the same during a run and differs between runs that share a compiled program.

    Args:
      seed: of the noise. statistics: what the loss takes as its last argument.
    """
    return {"seed": np.uint32(seed % (1 << 32)), "statistics": statistics}


def _piecewise(differentiate: Callable, batch: Any, pieces: int) -> Any:
    """The mean of `differentiate` over consecutive pieces of the batch's rows."""
    if pieces == 1:
        return differentiate(batch)
    batch = jax.tree.map(lambda x: x.reshape(pieces, -1, *x.shape[1:]), batch)
    shapes = jax.eval_shape(differentiate, jax.tree.map(lambda x: x[0], batch))
    total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total, piece):
        return jax.tree.map(jnp.add, total, differentiate(piece)), None

    total, _ = jax.lax.scan(add, total, batch)
    return jax.tree.map(lambda x: x / pieces, total)


def fit(
    state: TrainState,
    train_step: TrainStep,
    feed: Feed,
    constants: dict,
    *,
    steps: int,
    name: str,
    hooks: Sequence[tuple[int, Hook]] = (),
    checkpoints: Any = None,
    save_every: int = 0,
    writer: Any = None,
    log_every: int = 50,
    steps_per_call: int = 1,
) -> TrainState:
    """Trains from `state.step` to `steps` updates and returns the last state.

    Runs on all devices of all hosts (`sharding`); every host calls it alike.

    At each step boundary: evaluate, save, fetch the next batches, dispatch the step, log the
    step before. Rows are written under the number of updates done.

    Args:
      state: where to start; donated, so the caller must not use it again.
      train_step: see `make_train_step`; jitted here, once.
      feed: `fetch` runs here; `assemble` is already inside `train_step`.
      constants: see `constants_of`; the same on every host.
      steps: updates of the whole run.
      name: what the progress bar and the errors call this stage.
      hooks: (every, hook): hook(step, state) returns scalars to write; it runs every so many
        steps and after the last one, and must not keep the state.
      checkpoints: a `checkpoint.Checkpoints`; None saves nothing.
      save_every: steps between saves; the last state is always saved.
      writer: a `metrics.MetricWriter`; None writes nothing.
      log_every: updates between rows. Rows also hold `steps_per_second` and `data_wait_share`,
        the share of the loop's time spent on fetching batches and moving them to the device.
      steps_per_call: most updates per dispatch; see `make_call`. Fewer where they would take longer
        than `LONGEST_CALL`.

    Raises:
      NonFiniteLossError: at the first metric that is not finite; nothing is saved after it.
      Preempted: after SIGTERM or SIGINT, with the state of that step boundary saved.
      CheckpointError: if a checkpoint cannot be written.
      ValueError: if more steps per call are asked than a feed that is not resident fetches.
      BatchSizeError: if the devices cannot share the batch out evenly.
    """
    if not feed.resident and steps_per_call > feed.ahead:
        raise ValueError(
            f"steps_per_call: found {steps_per_call}, expected at most {feed.ahead}, which the "
            "feed fetches at once"
        )
    mesh = sharding.all_devices()
    train_step, feed = sharding.over_devices(train_step, feed, mesh)
    call = jax.jit(make_call(train_step, steps_per_call), donate_argnums=0)
    call = sharding.compiled_together(call)
    start = int(state.step)
    plan = _Plan(start, steps, tuple(hooks), save_every, steps_per_call)
    with contextlib.ExitStack() as stack:
        preemption = stack.enter_context(Preemption())
        log = stack.enter_context(StepLog(name, start, steps, writer, log_every))
        state, constants = sharding.place((state, constants), -1, mesh)
        state = _train(state, call, feed, constants, mesh, plan, log, checkpoints, preemption)
        if checkpoints:
            checkpoints.wait()
        if hosts.any_host(preemption.requested):
            kept = "saved: start again to continue" if checkpoints else "not saved"
            raise Preempted(f"{name}: {STOPPED} at step {state.step} of {steps}, {kept}")
    return sharding.local(state)


def _train(
    state: TrainState,
    call: Callable,
    feed: Feed,
    constants: dict,
    mesh: jax.sharding.Mesh,
    plan: "_Plan",
    log: StepLog,
    checkpoints: Any,
    preemption: Preemption,
) -> TrainState:
    """Runs to the last step or to a stop request; what it returns is saved."""
    step = plan.start
    while True:
        for hook in plan.hooks_at(step):
            log.settle()  # nothing is made of a state before the loss that led to it is known
            log.write(step, hook(step, sharding.local(state)))
        asked = plan.agrees_at(step) and hosts.any_host(preemption.requested)
        if asked or plan.saves_at(step):
            log.settle()
            log.upload()
            if checkpoints:
                checkpoints.save(state)
        if asked or step >= plan.steps:
            return state
        count = plan.updates_from(step, log.seconds_per_update)
        with log.waiting():
            fetched = feed.fetch(step, count)
            fetched = jax.device_put(fetched) if mesh.size == 1 else fetched
        device_count = sharding.place(np.int32(count), -1, mesh)
        with jax.transfer_guard_host_to_device("disallow"):
            state, metrics = call(state, fetched, constants, device_count)
        step += count
        log.submit(step, count, metrics)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is due at which step. Nothing is due at `start`, which the run before has done."""

    start: int
    steps: int
    hooks: tuple[tuple[int, Hook], ...]
    save_every: int
    steps_per_call: int

    def hooks_at(self, step: int) -> list[Hook]:
        return [hook for every, hook in self.hooks if self._due(step, every)]

    def saves_at(self, step: int) -> bool:
        return self._due(step, self.save_every)

    def agrees_at(self, step: int) -> bool:
        """Whether hosts ask each other there if any was told to stop, which costs a wait."""
        return jax.process_count() == 1 or step % AGREE_EVERY == 0 or self.saves_at(step)

    def updates_from(self, step: int, seconds: float | None) -> int:
        """Updates until something is due, at most one call's; of `seconds` each, if that is known.

        One host alone keeps a call short; several must not count differently.
        """
        most, agree_every = self.steps_per_call, AGREE_EVERY
        if jax.process_count() == 1:
            agree_every = 0
            most = min(most, int(LONGEST_CALL / seconds)) if seconds else 1
        periods = [self.save_every, agree_every] + [every for every, _ in self.hooks]
        stops = [step - step % every + every for every in periods if every > 0]
        return max(1, min([most, self.steps - step] + [stop - step for stop in stops]))

    def _due(self, step: int, every: int) -> bool:
        return step > self.start and (step == self.steps or every > 0 and step % every == 0)


def make_call(train_step: TrainStep, size: int) -> Callable:
    """(state, fetched, constants, count) -> (state, metrics of shape (size,)), `count` <= `size`
    updates.

    The loop's length is an argument: calls cut short by an evaluation or a save run the same
    program, so what is learnt does not depend on where they are cut. Several updates in one call
    leave no gap between them, and share its memory: XLA's CPU backend asks the system for it anew
    in each call.
    """

    step = jax.jit(train_step, inline=True)  # traced once for its shapes and the loop

    def call(state, fetched, constants, count):
        shapes = jax.eval_shape(step, state, fetched, constants)[1]
        rows = {name: jnp.zeros((size,), value.dtype) for name, value in shapes.items()}

        def update(index, carry):
            state, rows = carry
            state, metrics = step(state, fetched, constants)
            return state, {name: rows[name].at[index].set(metrics[name]) for name in rows}

        return jax.lax.fori_loop(0, count, update, (state, rows))

    return call
