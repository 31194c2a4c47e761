"""What happens to the metrics of a train step: checked, shown on the bar, written."""

import contextlib
import time
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from glam_jax.errors import UserError
from glam_jax.runtime import hosts


class NonFiniteLossError(UserError, ArithmeticError):
    """A loss term or a gradient became infinite or not a number.

    Attributes:
      term: the first metric that is not finite; the total and the gradient come last.
      step: the update, counted from 0, that produced it.
    """

    def __init__(self, name: str, step: int, metrics: dict[str, float]):
        terms = [term for term in sorted(metrics, key=_order) if not np.isfinite(metrics[term])]
        self.term, self.step = terms[0], step
        also = f" (also: {', '.join(terms[1:])})" if terms[1:] else ""
        super().__init__(
            f"{name}: {self.term!r} is {metrics[self.term]} at step {step}{also}; expected finite "
            "losses and gradients. No state is saved after it, and the checkpoints before it are "
            "kept. Lower the learning rate, or look at what that term is computed from."
        )


class StepLog:
    """Holds the metrics of the latest dispatch until the next one is under way.

    Attributes:
      seconds_per_update: of the dispatch settled last; None before the first one.

    Args:
      name: the stage, on the progress bar and in errors.
      start: the step that the run starts or continues from.
      steps: the step that it ends at.
      writer: a `metrics.MetricWriter`, or None.
      log_every: updates between written rows; the last one is always written.
    """

    def __init__(self, name: str, start: int, steps: int, writer: Any, log_every: int):
        self.seconds_per_update: float | None = None
        self._name, self._steps, self._log_every = name, steps, log_every
        self._writer = writer
        self._pending: tuple[int, int, dict[str, jax.Array]] | None = None
        self._compiled = False
        self._waited = self._busy = 0.0
        self._updates = 0
        self._submitted = self._settled = 0.0
        self._bar = tqdm(
            total=steps,
            initial=start,
            desc=name,
            unit="step",
            disable=not hosts.is_leader(),
            dynamic_ncols=True,
        )

    def __enter__(self) -> "StepLog":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    @contextlib.contextmanager
    def waiting(self):
        """Around whatever brings the next batch to the device."""
        self._began = time.perf_counter()
        yield
        self._arrived = time.perf_counter()

    def submit(self, step: int, count: int, metrics: dict[str, jax.Array]) -> None:
        """Settles the dispatch before, then keeps this one, of `count` updates up to `step`.

        Args:
          metrics: name -> (at least `count`,) values, still being computed.

        Raises:
          NonFiniteLossError: as `settle`.
        """
        if self._compiled:
            self._waited += self._arrived - self._began
            self._busy += time.perf_counter() - self._began
            self._updates += count
        self._compiled = True  # the first dispatch's time is that of the compiler
        submitted = time.perf_counter()
        self.settle()
        self._pending, self._submitted = (step, count, metrics), submitted

    def settle(self) -> None:
        """Waits for the pending metrics, checks them, shows the loss and writes due rows.

        Raises:
          NonFiniteLossError: at the first update with a metric that is not finite.
        """
        if self._pending is None:
            return
        began = time.perf_counter()
        step, count, metrics = self._pending
        self._pending = None
        rows = jax.device_get(metrics)
        started = max(self._submitted, self._settled)  # the device is done with one at a time
        self._settled = time.perf_counter()
        self._busy += self._settled - began
        self.seconds_per_update = (self._settled - started) / count
        for index in range(count):
            row = {name: float(values[index]) for name, values in rows.items()}
            done = step - count + index + 1
            if not all(np.isfinite(value) for value in row.values()):
                raise NonFiniteLossError(self._name, done - 1, row)
            if done % self._log_every == 0 or done == self._steps:
                self.write(done, row | self._pace())
        if "loss" in row:
            self._bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)
        self._bar.update(count)

    def write(self, step: int, metrics: dict[str, float] | None) -> None:
        """Writes one row of scalars, if there is anything and anywhere to write."""
        if self._writer and metrics:
            self._writer.write(step, metrics)

    def upload(self) -> None:
        """Saves the rows so far, before the state that they led to."""
        if self._writer:
            self._writer.upload()

    def _pace(self) -> dict[str, float]:
        """Updates per second and the share of the time spent on data, since the last row."""
        if not self._updates:
            return {}
        pace = {
            "steps_per_second": self._updates / self._busy,
            "data_wait_share": self._waited / self._busy,
        }
        self._waited, self._busy, self._updates = 0.0, 0.0, 0
        return pace


def _order(term: str) -> tuple[int, str]:
    return (("grad_norm", "loss").index(term) + 1 if term in ("grad_norm", "loss") else 0, term)
