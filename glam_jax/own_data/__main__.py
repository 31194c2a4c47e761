"""Own recordings: into the project's form, out of it, and their masks.

    python -m glam_jax.own_data ingest  --config=configs/own_data.py [--source=my_arm]
    python -m glam_jax.own_data masks   --config=configs/own_data.py --source=my_arm [--episodes=6]
    python -m glam_jax.own_data frames  --config=configs/own_data.py --source=my_arm OUT
    python -m glam_jax.own_data convert lerobot PATH OUT [--config=... --source=my_arm]
    python -m glam_jax.own_data export  lerobot DATASET OUT [--video]

ingest converts the config's sources into datasets under `data.root`, one or all; training does so
by itself. `python -m glam_jax.inspect` shows what came in.

masks shows the masks of some original episodes, evenly over those for training, so that colours
can be tuned before anything is converted: it prints how much of them has a mask, and writes a page
with image, mask, overlay and area over time (`--out`). Colours can be changed by flags, as in
`--config.own.sources.my_arm.mask_colours.front.cube.hue="(340.0,20.0)"`.

frames writes the pictures of a source for a segmenter: a folder of JPEG files for each episode and
view, `OUT/train/000000/front/000000.jpg`. Its masks go into a folder of the same form, as PNG
files. A folder that exists already is kept.

convert brings in one LeRobot dataset, all of its episodes, into a folder of its own under OUT.
Without a config, PATH must be what `export` wrote. With one, the source's key map
says what the columns are, and PATH stands in place of its `path`.

export writes a dataset of the project, such as runs/data/lifting_kinova_64px, in LeRobot's format
v3.0 to the new folder OUT.
"""

import json
from collections.abc import Callable

import numpy as np
from absl import flags
from etils import epath
from tqdm import tqdm

from glam_jax import files, values
from glam_jax.data import recording
from glam_jax.demonstrations.recorded import RecordedSource
from glam_jax.errors import ConfigError, DataError
from glam_jax.inspect import page, report, survey
from glam_jax.own_data import choose, frame_files, mask_page, readers
from glam_jax.own_data import convert as conversion
from glam_jax.own_data import ingest as ingestion
from glam_jax.own_data import masks as mask_tracks
from glam_jax.runtime import entry

_CONFIG = entry.define_config("A config like configs/own_data.py.")
_SOURCE = flags.DEFINE_string("source", None, "Which source of the config; ingest: default all.")
_EPISODES = flags.DEFINE_integer("episodes", 6, "masks: how many episodes.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "", "masks: the page; default masks_SOURCE.html.")
_VIDEO = flags.DEFINE_bool("video", False, "export: images as H.264, smaller but changed, not PNG.")


def ingest() -> None:
    """Converts one source of the config, or all, and prints a report of each."""
    for source in [_one_source()] if _SOURCE.value else _used_sources():
        print(json.dumps(source.provide(), indent=2))


def masks() -> None:
    """Writes a page of one source's masks; nothing is converted."""
    source = _one_source()
    keys, aim = source.keys, source.aim
    if not keys.has_masks:
        raise DataError(
            f"own.sources.{source.name} has no masks; give masks, mask_colours or mask_folder"
        )
    reader, converter = readers.open_reader(keys), conversion.Converter(keys, aim)
    available, _ = choose.chosen(reader, keys, keys.split)
    count = min(source.episodes or len(available), len(available))
    picked = np.linspace(0, count - 1, min(_EPISODES.value, count)).round().astype(int)
    shown, tally = [], mask_tracks.Tally(keys.rate_hz)
    for episode in (available[i] for i in picked):
        frame_files.check_masks(keys.mask_folder, keys.split, [episode])
        place = f"{keys.split} episode {episode}"
        try:
            views = mask_tracks.ViewMasks(keys, keys.split, episode, reader.lossy)
            steps, tracks = converter.episode(reader.episode(keys.split, episode), views)
        except ValueError as error:
            raise DataError(f"{reader.folder}, {place}: {error}") from error
        tally.note(place, tracks)
        shown.append(mask_page.Shown(place, steps, tracks, keys.rate_hz, aim.rate_hz))
    print(page.text(tally.rows()))
    for text in tally.warnings:
        print(f"warning: {text}")
    out = _OUT.value or f"masks_{source.name}.html"
    written = mask_page.write(out, source.name, shown, tally.rows(), tally.warnings)
    print(f"{len(shown)} of {count} episodes. Page: {written}")


def frames(out: str) -> None:
    """Writes the frames of all episodes that the config uses of one source."""
    source = _one_source()
    keys = source.keys
    if not source.episodes:
        used = ", ".join(one.name for one in _used_sources())
        raise DataError(f"source {source.name} is not used, used are {used}")
    reader = readers.open_reader(keys)
    plan = choose.Plan(reader, keys, source.episodes, source.config.data.heldout_episodes)
    written = 0
    for split, indices in plan.wanted():
        for index in tqdm(indices, f"{source.name} {split}"):
            written += frame_files.write(out, split, reader.episode(split, index), keys)
    print(f"{written} folders written, of one view of one episode each: {out}")


def convert(kind: str, path: str, out: str) -> None:
    """Converts one LeRobot folder and prints a report."""
    folder, root = _lerobot(kind, path), files.path(out)
    if not (folder / "meta" / "info.json").is_file():
        raise DataError(f"{folder}: no LeRobot dataset, expected meta/info.json")
    if _CONFIG.value is None:
        from glam_jax.own_data.lerobot import exported  # needs the extra of LeRobot

        made = ingestion.ingest(root, *exported.read(folder), count=None, heldout=None)
    else:
        source = _one_source()
        heldout = source.config.data.heldout_episodes
        made = source.convert(root, None, heldout, path=str(folder))
    print(json.dumps(made, indent=2))


def export(kind: str, dataset: str, out: str) -> None:
    """Writes one dataset of the project as a LeRobot folder and prints a report."""
    given = _lerobot(kind, dataset)
    folders = report.find([given])
    if len(folders) > 1:
        raise DataError(f"{given}: {len(folders)} datasets there, expected the folder of one")
    from glam_jax.own_data.lerobot import writer  # needs the extra of LeRobot

    stored = recording.describe(folders[0])
    rate = survey.rate_of(stored)
    made = writer.export(folders[0], stored, rate, files.path(out), _VIDEO.value)
    print(json.dumps(made, indent=2))


# Subcommand -> what does it, the names of its arguments, and its flags.
COMMANDS: dict[str, tuple[Callable, str, str]] = {
    "ingest": (ingest, "", "--config=CONFIG [--source=SOURCE]"),
    "masks": (masks, "", "--config=CONFIG --source=SOURCE [--episodes=6] [--out=PAGE]"),
    "frames": (frames, "OUT", "--config=CONFIG --source=SOURCE"),
    "convert": (convert, "lerobot PATH OUT", "[--config=CONFIG --source=SOURCE]"),
    "export": (export, "lerobot DATASET OUT", "[--video]"),
}


def _used_sources() -> list[RecordedSource]:
    """The sources that the config uses."""
    config = _CONFIG.value
    if config is None or "own" not in config:
        raise ConfigError("--config must be one like configs/own_data.py")
    values.check(config)
    return RecordedSource.used(config)


def _one_source() -> RecordedSource:
    """The source of the command line."""
    _used_sources()
    if not _SOURCE.value:
        raise ConfigError("--source must name a source of the config")
    return RecordedSource(_CONFIG.value, _SOURCE.value)


def _lerobot(kind: str, path: str) -> epath.Path:
    if kind != "lerobot":
        raise ConfigError(f"format {kind!r} is not known; expected lerobot")
    return files.path(path)


def main(arguments: list[str]):
    """Carries out the subcommand on the command line."""
    name, *given = arguments[1:] or [""]
    if name not in COMMANDS:
        found = f"{name!r} is not a command; " if name else ""
        raise ConfigError(f"{found}name one of {', '.join(COMMANDS)}, or --help to read of them")
    command, takes, with_flags = COMMANDS[name]
    if len(given) != len(takes.split()):
        usage = " ".join(filter(None, ("python -m glam_jax.own_data", name, takes, with_flags)))
        raise ConfigError(f"{name} takes {takes or 'no arguments'}, found {given}; usage: {usage}")
    command(*given)


if __name__ == "__main__":
    entry.run(main)
