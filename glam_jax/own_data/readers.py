"""Which reader a foreign dataset needs, by what lies at its path."""

from typing import Protocol

from etils import epath

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.raw_episode import Facts, RawEpisode


class Reader(Protocol):
    """A foreign dataset that is open for reading.

    Attributes:
      folder: its path. lengths: split -> number of episodes.
      shapes: key -> shape of a step and its dtype, of the keys that are wanted; None for a side
        that differs.
      lossy: keys whose pictures are compressed such that they blur.
    """

    folder: epath.Path
    lengths: dict[str, int]
    shapes: dict[str, tuple[tuple[int | None, ...], str]]
    lossy: frozenset[str]

    def facts(self, split: str, index: int) -> Facts:
        """What is known of an episode before its pictures are read; as `episode`."""

    def episode(self, split: str, index: int) -> RawEpisode:
        """One episode; fastest in order.

        Raises:
          DataError: it cannot be read; names the file and the episode.
        """


def open_reader(keys: KeyMap) -> Reader:
    """The reader of what lies at the key map's path.

    Raises:
      DataError: no dataset there, or not what the key map says.
    """
    path = files.path(keys.path)
    if (path / "meta" / "info.json").is_file():
        from glam_jax.own_data.lerobot.reader import Reader
    elif path.name.endswith((".zarr", ".zarr.zip")):
        from glam_jax.own_data.zarr_reader import Reader
    elif path.suffix in HDF5 or (path.is_dir() and _has_hdf5(path)):
        from glam_jax.own_data.hdf5_reader import Reader
    else:
        from glam_jax.own_data.rlds_reader import Reader
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    return Reader(keys)


HDF5 = (".hdf5", ".h5")


def _has_hdf5(path: epath.Path) -> bool:
    return any(files.find(path, f"*{ending}") for ending in HDF5)
