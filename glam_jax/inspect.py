"""Validates datasets, and shows what is in them.

    python -m glam_jax.inspect runs/data/my_task_my_arm_64px runs/data/my_task_my_handheld_64px
    python -m glam_jax.inspect runs/data --out=inspection.html

Reads every episode. DATA is a dataset's folder, or a folder of such; several are compared as
sources that are learned from together. Prints tables, writes a page, and exits with 1 if there are
errors, each with its episode and step.
"""

import sys
from pathlib import Path

from absl import app, flags, logging

from glam_jax.inspection import report
from glam_jax.recording import DataError

_OUT = flags.DEFINE_string("out", "", "The page; default inspection.html in the first DATA.")


def main(arguments: list[str]):
    """Inspects the folders on the command line."""
    logging.set_verbosity(logging.WARNING)
    if len(arguments) < 2:
        sys.exit("error: no DATA given; usage: python -m glam_jax.inspect DATA [DATA ...]")
    try:
        errors, _ = report.inspect([Path(text).expanduser() for text in arguments[1:]], _OUT.value)
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    app.run(main)
