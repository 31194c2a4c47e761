"""Which reader a foreign dataset needs, by what lies in its folder."""

from pathlib import Path

from glam_jax.foreign.keymap import KeyMap


def open_reader(keys: KeyMap):
    """The reader of a LeRobot dataset where `meta/info.json` lies, else that of RLDS datasets.

    All have `folder`, `lengths` (split -> number of episodes) and `episodes(split, first, count)`,
    which yields ({role: arrays (T, ...), one per key}, success).

    Raises:
      DataError: no dataset there, or not what the key map says.
    """
    if (Path(keys.path).expanduser() / "meta" / "info.json").is_file():
        from glam_jax.foreign.lerobot.reader import Reader  # and here what the extra brings
    else:
        from glam_jax.foreign.rlds_reader import Reader  # TensorFlow loads here only
    return Reader(keys)
