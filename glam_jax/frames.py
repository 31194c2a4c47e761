"""Writes the frames of a source as pictures, for a segmenter that makes masks of them.

    python -m glam_jax.frames --config=configs/own_data.py --source=my_arm OUT

A folder of JPEG files for each episode and view, `OUT/train/000000/front/000000.jpg`, as recorded.
The masks go into a folder of the same form, as PNG files; see docs/own_data.md. A folder that is
there already is kept.
"""

import sys

from absl import flags, logging
from ml_collections import config_flags
from tqdm import tqdm

from glam_jax import entry, own
from glam_jax.foreign import frame_files, ingestion, readers
from glam_jax.recording import DataError
from glam_jax.schema import VIEWS


def main(arguments: list[str]):
    """Writes all episodes that the config uses of one source."""
    logging.set_verbosity(logging.WARNING)
    if len(arguments) != 2:
        sys.exit("error: usage: python -m glam_jax.frames --config=CONFIG --source=SOURCE OUT")
    config, source = flags.FLAGS.config, flags.FLAGS.source
    if not own.is_own(config):
        raise DataError("the config describes simulated data; expected one like own_data.py")
    keys = own.key_map(config, source)
    if source not in (used := own.sources(config)):
        raise DataError(f"source {source} is not used, used are {', '.join(used)}")
    reader = readers.open_reader(keys)
    parts = ingestion.episodes_of(keys, used[source], config.data.heldout_episodes)
    written = 0
    for split, first, count in parts.values():
        episodes = tqdm(reader.episodes(split, first, count), f"{source} {split}", count)
        for index, (arrays, _) in enumerate(episodes, start=first):
            for view in filter(keys.views.get, VIEWS):
                folder = frame_files.view_folder(arguments[1], split, index, view)
                if not folder.exists():
                    frame_files.write_frames(folder, arrays[f"image_{view}"][0])
                    written += 1
    print(f"{written} folders written, of one view of one episode each: {arguments[1]}")


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A config like configs/own_data.py.")
    flags.DEFINE_string("source", None, "Whose frames.")
    flags.mark_flags_as_required(["config", "source"])
    entry.run(main)
