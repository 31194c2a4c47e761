"""Converts own RLDS datasets into the project's form; training does so by itself.

    python -m glam_jax.ingest --config=configs/own_data.py [--source=my_arm]

What it wrote can be looked at with `python -m glam_jax.inspect`.
"""

import json

from absl import flags, logging
from ml_collections import config_flags

from glam_jax import entry, own
from glam_jax.recording import DataError


def main(_):
    """Converts one source, or all, and prints a report of each."""
    logging.set_verbosity(logging.WARNING)
    config = flags.FLAGS.config
    if not own.is_own(config):
        raise DataError("the config describes simulated data; expected one like own_data.py")
    wanted = own.sources(config)
    if (only := flags.FLAGS.source) and only not in wanted:
        raise DataError(f"unknown source {only!r}; known: {', '.join(wanted)}")
    for source in [only] if only else wanted:
        print(json.dumps(own.ingest(config, source, wanted[source]), indent=2))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A config like configs/own_data.py.")
    flags.DEFINE_string("source", None, "Only this source; default all that are used.")
    flags.mark_flag_as_required("config")
    entry.run(main)
