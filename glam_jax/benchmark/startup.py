"""From the start of a process to its first training step, cold and with the compilation cache.

    python -m glam_jax.benchmark.startup pretrain standard 64

is such a process: it prints the loss of the first update of a stage at a scale and batch size.
"""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import jax

from glam_jax.benchmark import training
from glam_jax.benchmark.case import BenchmarkError, Case, Sizes, Work

STAGE, SCALE, BATCH = "pretrain", "standard", 64
# The folder that the last cold start filled.
_FILLED: list[tempfile.TemporaryDirectory] = []


def cases(sizes: Sizes) -> Iterator[Case]:
    """Stage 1 at the standard scale, with an empty compilation cache and with a filled one."""
    for kind, make in (("cold", _cold), ("cached", _cached)):
        name = f"startup/stage1 {SCALE} batch {BATCH}/{kind}"
        yield Case(name, "start", 1, functools.partial(make, sizes.starts))


def _cold(starts: int) -> Work:
    def start():
        _FILLED[:] = [tempfile.TemporaryDirectory(prefix="glam_jax_compiled_")]
        return first_step(_FILLED[0].name)

    # Not warmed up: the first start is what is asked for.
    return Work(start, warm_up=0, repeats=starts)


def _cached(starts: int) -> Work:
    if not _FILLED:
        _cold(1).run()
    return Work(functools.partial(first_step, _FILLED[0].name), warm_up=0, repeats=starts)


def first_step(cache: str) -> float:
    """Starts such a process, with its compilation cache in a folder; its first loss.

    Raises:
      BenchmarkError: it failed, for instance where only one process may hold the device.
    """
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # this process holds device memory too
    }
    command = [sys.executable, "-m", "glam_jax.benchmark.startup", STAGE, SCALE, str(BATCH)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BenchmarkError(
            f"{' '.join(command[1:])} failed with status {done.returncode}: {reason}. "
            "Leave it out by naming the other groups in --only"
        )
    return float(done.stdout.split()[-1])


def main(stage: str, scale: str, batch: str) -> None:
    """Builds a stage and takes its first step, alone as the training loop's first."""
    config = training.config_of(scale, stage, int(batch))
    config[stage].steps_per_call = 1
    metrics = training.trainer(stage, config)()
    print(jax.device_get(metrics["loss"])[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
