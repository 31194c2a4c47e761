"""How entry points start: what a user can put right ends in one line, not in a traceback."""

import sys
import traceback
from collections.abc import Callable

from absl import app

from glam_jax.benchmarks.case import BenchmarkError
from glam_jax.grid import StudyError
from glam_jax.recording import DataError
from glam_jax.runtime import hosts
from glam_jax.runtime.checkpoint import CheckpointError
from glam_jax.runtime.rollcall import HostError
from glam_jax.runtime.safetensors import TensorFileError
from glam_jax.runtime.sharding import BatchSizeError
from glam_jax.runtime.steplog import NonFiniteLossError
from glam_jax.serving.settings import SettingsError
from glam_jax.stages.dinov2 import EncoderError
from glam_jax.workdir import WorkdirError

EXPECTED = (
    DataError,
    WorkdirError,
    CheckpointError,
    NonFiniteLossError,
    BatchSizeError,
    HostError,
    TensorFileError,
    EncoderError,
    StudyError,
    SettingsError,
    BenchmarkError,
    FileNotFoundError,
)


def run(main: Callable) -> None:
    """`absl.app.run`, with errors of use on one line of stderr and exit status 1.

    These are the `EXPECTED` ones, and all that goes wrong before `main` starts: then only the
    command line and its config have been read. Anything else keeps its traceback. Other hosts of
    the run are told.
    """
    started = False

    def begin(argv):
        nonlocal started
        started = True
        return main(argv)

    try:
        app.run(begin)
    except Exception as error:
        if not started or isinstance(error, EXPECTED):
            print(f"error: {error}", file=sys.stderr)
        elif hosts.alone():
            raise
        else:
            traceback.print_exc()
        hosts.fail(error)
        sys.exit(1)
