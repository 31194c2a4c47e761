"""Shows the masks of a source before it is converted, so that its colours can be tuned.

    python -m glam_jax.preview_masks --config=configs/own_data.py --source=my_arm
    python -m glam_jax.preview_masks --config=configs/own_data.py --source=my_arm --episodes=3 \
        --config.own.sources.my_arm.mask_colours.front.cube.hue="(340.0,20.0)"

Reads some episodes of the original recordings, evenly over those for training, prints how much of
them has a mask, and writes a page with image, mask, overlay and area over time.
"""

import numpy as np
from absl import flags, logging
from ml_collections import config_flags

from glam_jax import entry, own
from glam_jax.foreign import convert, masks, readers
from glam_jax.inspection import mask_page, tables
from glam_jax.recording import DataError


def main(_):
    """Looks at one source; nothing is converted."""
    logging.set_verbosity(logging.WARNING)
    config, source = flags.FLAGS.config, flags.FLAGS.source
    if not own.is_own(config):
        raise DataError("the config describes simulated data; expected one like own_data.py")
    keys, aim = own.key_map(config, source), own.aim(config)
    if not keys.has_masks:
        raise DataError(
            f"own.sources.{source} has no masks; give masks, mask_colours or mask_folder"
        )
    reader = readers.open_reader(keys)
    available = reader.lengths[keys.split]
    count = min(own.sources(config).get(source, available), available)
    chosen = np.linspace(0, count - 1, min(flags.FLAGS.episodes, count)).round().astype(int)
    shown, tally = [], masks.Tally(keys.rate_hz)
    for episode in chosen.tolist():
        masks.check_files(keys, keys.split, range(episode, episode + 1))
        raw, _ = next(reader.episodes(keys.split, episode, 1))
        place = f"{keys.split} episode {episode}"
        try:
            tracks = masks.stored(raw, keys) + masks.add(raw, keys, keys.split, episode)
            steps = convert.convert(raw, keys, aim)
        except ValueError as error:
            raise DataError(f"{reader.folder}, {place}: {error}") from error
        tally.note(place, tracks)
        shown.append(mask_page.Shown(place, steps, tracks, keys.rate_hz, aim.rate_hz))
    print(tables.text(tally.rows()))
    for text in tally.warnings:
        print(f"warning: {text}")
    out = flags.FLAGS.out or f"masks_{source}.html"
    written = mask_page.write(out, source, shown, tally.rows(), tally.warnings)
    print(f"{len(shown)} of {count} episodes. Page: {written}")


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A config like configs/own_data.py.")
    flags.DEFINE_string("source", None, "Whose masks.")
    flags.DEFINE_integer("episodes", 6, "How many, evenly over the source.", lower_bound=1)
    flags.DEFINE_string("out", "", "The page; default masks_SOURCE.html.")
    flags.mark_flags_as_required(["config", "source"])
    entry.run(main)
