"""A training run of a linear model, as a module for test_loop and as a program to be killed.

    python tests/train_tiny.py WORKDIR STEPS PAUSE

PAUSE seconds pass in the host's fetch before each step, so that a signal finds it at work. It
prints one line a step, and exits 0 when it is done or was asked to stop.
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.runtime import checkpoint, loop, optim, preemption
from glam_jax.runtime.metrics import MetricWriter

SEED, ROWS, BATCH, WIDTH = 3, 50, 16, 8


class ResidentFeed:
    """Rows kept on the device, drawn inside the train step."""

    resident = True

    def __init__(self):
        self.rows = jax.random.normal(jax.random.key(0), (ROWS, WIDTH))

    def fetch(self, step, count=1):
        return self.rows

    def assemble(self, fetched, step):
        return fetched[draw(step)]


class StreamingFeed(ResidentFeed):
    """The same batches, gathered on the host, those of `ahead` steps at once."""

    resident = False

    def __init__(self, pause=0.0, talk=False, ahead=1):
        super().__init__()
        self.rows = np.asarray(self.rows)
        self.pause, self.talk, self.ahead = pause, talk, ahead

    def fetch(self, step, count):
        if self.talk:
            print("step", step, flush=True)
        time.sleep(self.pause)
        batches = np.zeros((self.ahead, BATCH, WIDTH), np.float32)
        for index in range(count):
            batches[index] = self.rows[np.asarray(draw(step + index))]
        return {"first": np.int32(step), "batches": batches}

    def assemble(self, fetched, step):
        return fetched["batches"][step - fetched["first"]]


def draw(step):
    return jax.random.randint(jax.random.fold_in(jax.random.key(9), step), (BATCH,), 0, ROWS)


def loss(params, batch, key, statistics=None):
    noise = 0.1 * jax.random.normal(key, batch.shape)
    output = batch @ params["dense"]["kernel"] + params["dense"]["bias"] + noise
    reconstruction = jnp.mean(jnp.square(output - batch))
    return reconstruction, {"reconstruction": reconstruction}


OPTIMIZER = optim.make_optimizer(learning_rate=1e-2, steps=60, warmup_steps=5, weight_decay=1e-4)


def make_state():
    kernel = jax.random.normal(jax.random.key(1), (WIDTH, WIDTH))
    return optim.init_state({"dense": {"kernel": kernel, "bias": jnp.zeros(WIDTH)}}, OPTIMIZER)


CONSTANTS = loop.constants_of(SEED, {})


def make_step(feed, loss=loss, amend=None):
    return loop.make_train_step(loss, feed.assemble, OPTIMIZER, 0.99, amend)


def main(workdir: pathlib.Path, steps: int, pause: float) -> None:
    feed, state = StreamingFeed(pause, talk=True), make_state()
    with checkpoint.Checkpoints(workdir / "checkpoints") as checkpoints:
        state = checkpoints.restore_latest(jax.eval_shape(lambda: state)) or state
        with MetricWriter(workdir, int(state.step)) as metrics:
            loop.fit(
                state,
                make_step(feed),
                feed,
                CONSTANTS,
                steps=steps,
                name="tiny",
                checkpoints=checkpoints,
                save_every=10,
                writer=metrics,
                log_every=5,
            )


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    except preemption.Preempted as stop:
        print(stop, flush=True)
