"""What a LeRobot dataset says of itself: its `meta` folder, in format v3.0.

meta/info.json                                format, frames a second, columns, splits
meta/episodes/chunk-000/file-000.parquet      a row an episode: length, and which files it is in
meta/tasks.parquet, meta/stats.json           not read
data/chunk-000/file-000.parquet               a row a frame, of several episodes
videos/COLUMN/chunk-000/file-000.mp4          pictures that are not in the rows
"""

import dataclasses
import re
from pathlib import PurePosixPath

from etils import epath

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data import parquet

VERSION = "v3.0"
PICTURES = ("image", "video")
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
_NEEDED = ("codebase_version", "fps", "features", "total_episodes", "total_frames", "data_path")
_ROW = (
    *("episode_index", "length", "dataset_from_index", "dataset_to_index"),
    *("data/chunk_index", "data/file_index"),
)


@dataclasses.dataclass(frozen=True)
class Meta:
    """The description of a dataset.

    Attributes:
      folder: of the dataset. fps: frames a second.
      features: column -> its `dtype`, `shape` (of one frame) and `names`.
      splits: name -> episodes. episodes: one row each, in order; a column that is not about
        statistics -> value.
      data_path, video_path: of files inside the folder, to be formatted.
    """

    folder: epath.Path
    fps: float
    features: dict[str, dict]
    splits: dict[str, range]
    episodes: list[dict]
    data_path: str
    video_path: str

    def place(self, episode: int) -> str:
        """What to call an episode in messages."""
        return f"{self.folder}, episode {episode}"

    def data_file(self, episode: int) -> epath.Path:
        """The file with an episode's rows; raises DataError for a name outside the folder."""
        row = self.episodes[episode]
        return self._inside(
            self.data_path,
            chunk_index=row["data/chunk_index"],
            file_index=row["data/file_index"],
        )

    def video_file(self, episode: int, column: str) -> tuple[epath.Path, float]:
        """The file with an episode's pictures, and the time (s) at which they begin in it.

        Raises:
          DataError: the episode has none, or the file is missing.
        """
        row, prefix = self.episodes[episode], f"videos/{column}"
        parts = {name: row.get(f"{prefix}/{name}") for name in ("chunk_index", "file_index")}
        start = row.get(f"{prefix}/from_timestamp")
        if start is None or None in parts.values():
            raise DataError(f"{self.place(episode)}: no video of {column!r} in meta/episodes")
        path = self._inside(self.video_path, video_key=column, **parts)
        if not path.is_file():
            raise DataError(f"{path}: no such file, expected {column!r} of episode {episode}")
        return path, float(start)

    def _inside(self, template: str, **parts) -> epath.Path:
        try:
            name = PurePosixPath(template.format(**parts))
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            raise DataError(f"{self.folder}/meta/info.json: path {template!r} ({error})") from error
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"{self.folder}/meta/info.json: path {template!r} leads outside")
        return self.folder / name


def read(folder: epath.Path) -> Meta:
    """Reads and checks the description.

    Raises:
      DataError: another format, a damaged file, or numbers that disagree; names them.
    """
    place = folder / "meta" / "info.json"
    try:
        info = files.read_json(place)
    except OSError as error:
        raise DataError(f"{place}: not readable ({error})") from error
    if not isinstance(info, dict) or "codebase_version" not in info:
        raise DataError(f"{place}: no codebase_version, expected {VERSION!r} of LeRobot")
    if (found := info["codebase_version"]) != VERSION:
        hint = ""
        if str(found).startswith("v2"):
            hint = "; LeRobot's convert_dataset_v21_to_v30 makes v3.0 of v2.1"
        raise DataError(f"{place}: codebase_version is {found!r}, expected {VERSION!r}{hint}")
    if missing := [key for key in _NEEDED if key not in info]:
        raise DataError(f"{place}: keys {missing} are missing")
    if not isinstance(info["fps"], (int, float)) or not info["fps"] > 0:
        raise DataError(f"{place}: fps is {info['fps']!r}, expected a number above 0")
    for name, feature in dict(info["features"]).items():
        if not {"dtype", "shape"} <= set(feature):
            raise DataError(f"{place}: column {name!r} is {feature!r}, expected dtype and shape")
    episodes = _episodes(folder)
    _check_lengths(folder, info, episodes)
    return Meta(
        folder,
        float(info["fps"]),
        info["features"],
        _splits(place, info, len(episodes)),
        episodes,
        info["data_path"],
        info.get("video_path") or VIDEO_PATH,
    )


def _splits(place: epath.Path, info: dict, count: int) -> dict[str, range]:
    splits = {}
    for name, text in (info.get("splits") or {"train": f"0:{count}"}).items():
        match = re.fullmatch(r"(\d+):(\d+)", str(text))
        if not match or not (int(match[1]) <= int(match[2]) <= count):
            raise DataError(f"{place}: split {name!r} is {text!r}, expected from:to up to {count}")
        splits[name] = range(int(match[1]), int(match[2]))
    return splits


def _episodes(folder: epath.Path) -> list[dict]:
    """Rows of all files of `meta/episodes`, without statistics."""
    rows = []
    for path in files.find(folder / "meta" / "episodes", "*/*.parquet"):
        names = [name for name in parquet.names(path) if not name.startswith("stats/")]
        columns = parquet.read(path, dict.fromkeys([*_ROW, *names]))
        listed = [c if isinstance(c, list) else c.tolist() for c in columns.values()]
        rows += [dict(zip(columns, row, strict=True)) for row in zip(*listed, strict=True)]
    return sorted(rows, key=lambda row: row["episode_index"])


def _check_lengths(folder: epath.Path, info: dict, episodes: list[dict]) -> None:
    """Raises DataError where info.json and meta/episodes disagree."""
    place = folder / "meta" / "episodes"
    indices = [row["episode_index"] for row in episodes]
    if indices != list(range(info["total_episodes"])):
        raise DataError(
            f"{place}: {len(indices)} episodes, expected 0 to {info['total_episodes'] - 1} "
            f"by info.json"
        )
    for row in episodes:
        frames = row["dataset_to_index"] - row["dataset_from_index"]
        if row["length"] != frames or frames < 1:
            raise DataError(
                f"{place}, episode {row['episode_index']}: length is {row['length']}, but "
                f"dataset_from_index to dataset_to_index are {frames} frames"
            )
    total = sum(row["length"] for row in episodes)
    if total != info["total_frames"]:
        raise DataError(f"{place}: {total} frames, expected {info['total_frames']} by info.json")
