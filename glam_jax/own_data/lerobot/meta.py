"""What a LeRobot dataset says of itself: its `meta` folder, in formats v2.0, v2.1 and v3.0.

v3.0
meta/info.json                                format, frames a second, columns, splits
meta/episodes/chunk-000/file-000.parquet      a row an episode: length, and which files it is in
data/chunk-000/file-000.parquet               a row a frame, of several episodes
videos/COLUMN/chunk-000/file-000.mp4          pictures that are not in the rows, of several episodes

v2.0, v2.1
meta/info.json, meta/episodes.jsonl           the same; a line an episode
data/chunk-000/episode_000000.parquet         a row a frame, of one episode
videos/chunk-000/COLUMN/episode_000000.mp4    pictures that are not in the rows, of one episode
"""

import dataclasses
import json
import re
from pathlib import PurePosixPath

from absl import logging
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError, first_line
from glam_jax.own_data import parquet

VERSION = "v3.0"  # that is written
ONE_FILE_EACH = ("v2.0", "v2.1")
PICTURES = ("image", "video")
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
_OLD_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_NEEDED = ("codebase_version", "fps", "features", "total_episodes", "data_path")
_ROW = ("episode_index", "length")


@dataclasses.dataclass(frozen=True)
class Meta:
    """The description of a dataset.

    Attributes:
      folder: of the dataset. version: of the format. fps: frames a second.
      features: column -> its `dtype`, `shape` (of one frame) and `names`.
      splits: name -> episodes. episodes: one row each, in order; a column that is not about
        statistics -> value.
      data_path, video_path: of files inside the folder, to be formatted.
      chunks_size: episodes of a folder, in the formats of `ONE_FILE_EACH`.
    """

    folder: epath.Path
    version: str
    fps: float
    features: dict[str, dict]
    splits: dict[str, range]
    episodes: list[dict]
    data_path: str
    video_path: str
    chunks_size: int

    def place(self, episode: int) -> str:
        """What to call an episode in messages."""
        return f"{self.folder}, episode {episode}"

    def data_file(self, episode: int) -> epath.Path:
        """The file that should have an episode's rows; raises DataError for a name outside the
        folder."""
        return self._inside(self.data_path, **self._numbers(episode, "data"))

    def data_files(self) -> list[epath.Path]:
        """All files of rows."""
        return files.find(self.folder / "data", "*/*.parquet")

    def video_file(self, episode: int, column: str) -> tuple[epath.Path, float]:
        """The file with an episode's pictures, and the time (s) at which they begin in it.

        Raises:
          DataError: the episode has none, or the file is missing.
        """
        prefix, start = f"videos/{column}", 0.0
        if self.version not in ONE_FILE_EACH:
            start = self.episodes[episode].get(f"{prefix}/from_timestamp")
        numbers = self._numbers(episode, prefix)
        if start is None or None in numbers.values():
            raise DataError(f"{self.place(episode)}: no video of {column!r} in meta/episodes")
        path = self._inside(self.video_path, video_key=column, **numbers)
        if not path.is_file():
            raise DataError(f"{path}: no such file, expected {column!r} of episode {episode}")
        return path, float(start)

    def _numbers(self, episode: int, prefix: str) -> dict:
        """What is put into the name of one of an episode's files."""
        if self.version in ONE_FILE_EACH:
            return {"episode_chunk": episode // self.chunks_size, "episode_index": episode}
        names = ("chunk_index", "file_index")
        return {name: self.episodes[episode].get(f"{prefix}/{name}") for name in names}

    def _inside(self, template: str, **parts) -> epath.Path:
        try:
            name = PurePosixPath(template.format(**parts))
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.folder}/meta/info.json: path {template!r} ({first_line(error)})"
            ) from error
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
        raise DataError(f"{place}: not readable ({first_line(error)})") from error
    known = (*ONE_FILE_EACH, VERSION)
    if not isinstance(info, dict) or "codebase_version" not in info:
        raise DataError(f"{place}: no codebase_version, expected {', '.join(known)} of LeRobot")
    if (version := info["codebase_version"]) not in known:
        raise DataError(f"{place}: codebase_version is {version!r}, expected {', '.join(known)}")
    if missing := [key for key in _NEEDED if key not in info]:
        raise DataError(f"{place}: keys {missing} are missing")
    if not isinstance(info["fps"], (int, float)) or not info["fps"] > 0:
        raise DataError(f"{place}: fps is {info['fps']!r}, expected a number above 0")
    for name, feature in dict(info["features"]).items():
        if not {"dtype", "shape"} <= set(feature):
            raise DataError(f"{place}: column {name!r} is {feature!r}, expected dtype and shape")
    chunks_size = info.get("chunks_size", 1000)
    if not isinstance(chunks_size, int) or chunks_size < 1:
        raise DataError(f"{place}: chunks_size is {chunks_size!r}, expected a number above 0")
    old = version in ONE_FILE_EACH
    episodes = _lines(folder) if old else _rows(folder)
    _check_episodes(folder, info, episodes)
    return Meta(
        folder,
        version,
        float(info["fps"]),
        info["features"],
        _splits(place, info, len(episodes)),
        episodes,
        info["data_path"],
        info.get("video_path") or (_OLD_VIDEO_PATH if old else VIDEO_PATH),
        chunks_size,
    )


def _splits(place: epath.Path, info: dict, count: int) -> dict[str, range]:
    splits = {}
    for name, text in (info.get("splits") or {"train": f"0:{count}"}).items():
        match = re.fullmatch(r"(\d+):(\d+)", str(text))
        if not match or int(match[1]) > int(match[2]):
            raise DataError(f"{place}: split {name!r} is {text!r}, expected from:to")
        if int(match[2]) > count:
            logging.warning("%s: split %r is %r, of %d episodes; cut", place, name, text, count)
        splits[name] = range(min(int(match[1]), count), min(int(match[2]), count))
    return splits


def _rows(folder: epath.Path) -> list[dict]:
    """Rows of all files of `meta/episodes`, without statistics."""
    rows = []
    for path in files.find(folder / "meta" / "episodes", "*/*.parquet"):
        columns = parquet.read(path, _ROW, more=lambda name: not name.startswith("stats/"))
        listed = [c if isinstance(c, list) else c.tolist() for c in columns.values()]
        rows += [dict(zip(columns, row, strict=True)) for row in zip(*listed, strict=True)]
    return sorted(rows, key=lambda row: row["episode_index"])


def _lines(folder: epath.Path) -> list[dict]:
    """Lines of `meta/episodes.jsonl`."""
    path, rows = folder / "meta" / "episodes.jsonl", []
    try:
        for number, line in enumerate(files.read_text(path).splitlines(), start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict) or not set(_ROW) <= set(row):
                    raise DataError(f"{path}, line {number}: {row!r}, expected keys {list(_ROW)}")
                rows.append(row)
    except OSError as error:
        raise DataError(f"{path}: not readable ({first_line(error)})") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON ({first_line(error)})") from error
    return sorted(rows, key=lambda row: row["episode_index"])


def _check_episodes(folder: epath.Path, info: dict, episodes: list[dict]) -> None:
    """Raises DataError where info.json and the episodes disagree."""
    place = folder / "meta"
    indices = [row["episode_index"] for row in episodes]
    if indices != list(range(info["total_episodes"])):
        raise DataError(
            f"{place}: {len(indices)} episodes, expected 0 to {info['total_episodes'] - 1} "
            f"by info.json"
        )
    for row in episodes:
        if not isinstance(row["length"], int) or row["length"] < 1:
            raise DataError(
                f"{place}, episode {row['episode_index']}: length is {row['length']!r}, expected "
                "at least 1"
            )
