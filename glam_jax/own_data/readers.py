"""Which reader a foreign dataset needs, by what lies in its folder."""

from glam_jax import files
from glam_jax.own_data.key_map import KeyMap


def open_reader(keys: KeyMap):
    """The reader of a LeRobot dataset where `meta/info.json` lies, else that of RLDS datasets.

    All have `folder`, `lengths` (split -> number of episodes) and `episodes(split, first, count)`,
    which yields ({role: arrays (T, ...), one per key}, success).

    Raises:
      DataError: no dataset there, or not what the key map says.
    """
    if (files.path(keys.path) / "meta" / "info.json").is_file():
        from glam_jax.own_data.lerobot.reader import Reader
    else:
        from glam_jax.own_data.rlds_reader import Reader
    return Reader(keys)
