"""Converts one dataset of another format into the project's form.

    python -m glam_jax.convert lerobot PATH OUT
    python -m glam_jax.convert lerobot PATH OUT --config=configs/own_data.py --source=my_arm

PATH is a folder in LeRobot's format v3.0; the converted dataset is made in a folder of its own
under OUT. Without a config, PATH must be what `python -m glam_jax.export` wrote. With one, the
source's key map says what the columns are, and PATH stands in place of its `path`. All episodes
come in, with the config's `heldout_episodes` kept apart.
"""

import dataclasses
import json
import sys
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from glam_jax import entry, own
from glam_jax.foreign import ingestion
from glam_jax.recording import DataError


def main(arguments: list[str]):
    """Converts the folder on the command line and prints a report."""
    logging.set_verbosity(logging.WARNING)
    if len(arguments) != 4 or arguments[1] != "lerobot":
        sys.exit("error: usage: python -m glam_jax.convert lerobot PATH OUT")
    path, out = (Path(text).expanduser() for text in arguments[2:])
    if not (path / "meta" / "info.json").is_file():
        raise DataError(f"{path}: no LeRobot dataset, expected meta/info.json")
    config, source = flags.FLAGS.config, flags.FLAGS.source
    if config is None:
        from glam_jax.foreign.lerobot import exported

        made = exported.read(path)
        about, heldout = (made.task, made.source, made.keys, made.aim), None
    else:
        if not (own.is_own(config) and source):
            raise DataError("--config must be one like own_data.py, and go with --source")
        keys = dataclasses.replace(own.key_map(config, source), path=str(path))
        about = (config.task, source, keys, own.aim(config))
        heldout = config.data.heldout_episodes
    print(json.dumps(ingestion.ingest(out, *about, count=None, heldout=heldout), indent=2))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A config like configs/own_data.py.")
    flags.DEFINE_string("source", None, "The source of the config whose key map is used.")
    entry.run(main)
