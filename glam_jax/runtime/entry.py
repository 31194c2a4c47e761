"""How commands start: what a user can put right ends in one line, not in a traceback."""

import sys
import traceback
from collections.abc import Callable

from absl import app, logging

from glam_jax.errors import UserError
from glam_jax.runtime import compiled, hosts


def run(main: Callable) -> None:
    """`absl.app.run`, with errors of use on one line of stderr and exit status 1, and with
    `compiled.keep`.

    These are `UserError` and its kinds, errors of the file system, and all that goes wrong before
    `main` starts, because only the command line and its config have been read by then. Any other
    error keeps its traceback. The other hosts of the run are told of each.
    """
    started = False
    compiled.define_flag()

    def begin(argv):
        nonlocal started
        started = True
        logging.set_verbosity(logging.WARNING)  # TFDS and MJX log every dataset and environment
        compiled.keep()
        return main(argv)

    try:
        app.run(begin)
    except Exception as error:
        if not started or isinstance(error, (UserError, OSError)):
            print(f"error: {error}", file=sys.stderr)
        elif hosts.alone():
            raise
        else:
            traceback.print_exc()
        hosts.fail(error)
        sys.exit(1)
