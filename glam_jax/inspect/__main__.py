"""Validates datasets, and shows what is in them.

    python -m glam_jax.inspect runs/data/my_task_my_arm_64px runs/data/my_task_my_handheld_64px
    python -m glam_jax.inspect runs/data --out=inspection.html

Reads every episode. DATA is a dataset's folder, or a folder of such; several are compared as
sources that are learned from together. Prints tables, writes a page, and exits with 1 if there are
errors, each with its episode and step.
"""

import sys

from absl import flags

from glam_jax import files
from glam_jax.inspect import report
from glam_jax.runtime import entry

_OUT = flags.DEFINE_string("out", "", "The page; default inspection.html in the first DATA.")


def main(arguments: list[str]):
    """Inspects the folders on the command line."""
    if len(arguments) < 2:
        sys.exit("error: no DATA given; usage: python -m glam_jax.inspect DATA [DATA ...]")
    errors, _ = report.inspect([files.path(text) for text in arguments[1:]], _OUT.value)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    entry.run(main)
