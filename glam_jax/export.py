"""Writes one dataset of the project in another format, for other tools.

    python -m glam_jax.export lerobot DATASET OUT [--video]

DATASET is a folder of a dataset, such as runs/data/lifting_kinova_64px; OUT is the new folder,
in LeRobot's format v3.0. `python -m glam_jax.convert lerobot OUT ...` brings it in again.
"""

import json
import sys
from pathlib import Path

from absl import flags, logging

from glam_jax import entry, recording
from glam_jax.inspection import report, survey
from glam_jax.recording import DataError

_VIDEO = flags.DEFINE_bool("video", False, "Images as H.264, smaller but changed, not as PNG.")


def main(arguments: list[str]):
    """Exports the folder on the command line and prints a report."""
    logging.set_verbosity(logging.WARNING)
    if len(arguments) != 4 or arguments[1] != "lerobot":
        sys.exit("error: usage: python -m glam_jax.export lerobot DATASET OUT [--video]")
    given, out = (Path(text).expanduser() for text in arguments[2:])
    folders = report.find([given])
    if len(folders) > 1:
        raise DataError(f"{given}: {len(folders)} datasets there, expected the folder of one")
    from glam_jax.foreign.lerobot import writer  # the extra loads only here

    stored = recording.describe(folders[0])
    rate = survey.rate_of(stored)
    made = writer.export(folders[0], stored, rate, out, _VIDEO.value)
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    entry.run(main)
