"""Lives of a small training run, which may end by SIGKILL; for test_lives.

    python tests/train_lives.py

For each line of JSON on stdin, a list of lives, it forks a process for each, which all run at
once, and prints the list of their exit statuses, negative where a signal ended them. What costs
seconds of a start, importing, is done once.

A life: folder, log (a file for what it prints), devices, member (null, or what `hosts.Membership`
takes), and fall and error: null or how it ends early. A fall is [events, seconds] after which the
process kills itself; events are training steps and what Python does to files of the folder. An
error is the step at which it cannot get its batch.
"""

import itertools
import json
import os
import signal
import sys
import threading

import gcsfs  # noqa: F401, with what else costs seconds of a start
import google.cloud.storage  # noqa: F401
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.models import draws
from glam_jax.runtime import checkpoint, hosts, loop, optim
from glam_jax.runtime.metrics import MetricWriter

STEPS, SAVE_EVERY, ROWS, BATCH, WIDTH, SEED = 24, 3, 50, 16, 128, 3
# After which the other of two processes gives up one that was killed.
SILENCE_S = 5
STEP = "train_lives.step"
EVENTS = {STEP, "open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir"}
OPTIMIZER = optim.make_optimizer(learning_rate=1e-3, steps=STEPS, warmup_steps=5)


class Feed:
    """Rows gathered on the host; each with its number in the batch, which keys its noise."""

    resident, batch, ahead, row_axis = False, BATCH, 1, 0

    def __init__(self):
        self._data = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
        self._numbers = np.arange(BATCH, dtype=np.int32)

    def only(self, rows):
        feed = Feed()
        feed._numbers = rows.astype(np.int32)
        return feed

    def fetch(self, step, count):
        sys.audit(STEP, step)
        drawn = np.random.default_rng((9, step)).integers(0, ROWS, BATCH)[self._numbers]
        return {"x": self._data[drawn], "row": self._numbers}

    def assemble(self, fetched, step):
        return fetched


def loss(params, batch, key, statistics):
    noise = 0.1 * draws.normal(key, batch["row"], (WIDTH,))
    error = batch["x"] @ params["kernel"] + params["bias"] + noise - batch["x"]
    return jnp.mean(jnp.square(error)), {}


def make_state():
    kernel = np.random.default_rng(1).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    return optim.init_state({"kernel": kernel, "bias": jnp.zeros(WIDTH)}, OPTIMIZER)


def train(folder: epath.Path) -> None:
    feed = Feed()
    step = loop.make_train_step(loss, feed.assemble, OPTIMIZER, 0.99)
    with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
        state = checkpoints.restore_latest(jax.eval_shape(make_state)) or make_state()
        print(f"from step {state.step}", flush=True)
        metrics = MetricWriter(folder, int(state.step)) if hosts.is_leader() else None
        loop.fit(
            state, step, feed, loop.constants_of(SEED, {}), steps=STEPS, name="lives",
            checkpoints=checkpoints, save_every=SAVE_EVERY, writer=metrics, log_every=1,
        )  # fmt: skip
        if metrics:
            metrics.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fall(folder: str, events: int, seconds: float) -> None:
    """Kills this process some time after so many events."""
    count = itertools.count()

    def watch(event, arguments):
        if event not in EVENTS or (event != STEP and folder not in str(arguments[0])):
            return
        if next(count) == events:
            threading.Timer(seconds, die).start() if seconds else die()

    sys.addaudithook(watch)


def stumble(step: int) -> None:
    """Makes the batch of a step fail."""

    def watch(event, arguments):
        if event == STEP and arguments[0] == step:
            raise OSError(f"batch {step} is gone")

    sys.addaudithook(watch)


def live(life: dict) -> None:
    log = os.open(life["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    jax.config.update("jax_num_cpu_devices", life["devices"])
    if life["member"]:
        hosts.join(hosts.Membership(*life["member"]), 60.0, SILENCE_S)
    if life["fall"]:
        fall(life["folder"], *life["fall"])
    if life["error"] is not None:
        stumble(life["error"])
    try:
        train(files.path(life["folder"]))
    except Exception as error:
        print(f"error: {error}", flush=True)
        hosts.fail(error)
        raise


def main() -> None:
    for line in sys.stdin:
        running = []
        for life in json.loads(line):
            running.append(os.fork())
            if running[-1] == 0:
                return live(life)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running]
        print(json.dumps(statuses), flush=True)


if __name__ == "__main__":
    main()
