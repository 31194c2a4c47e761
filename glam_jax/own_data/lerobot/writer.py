"""The project's episodes to a LeRobot dataset of format v3.0, for other tools."""

import io
import json
from collections.abc import Callable

import numpy as np
from etils import epath
from PIL import Image
from tqdm import tqdm

from glam_jax import files
from glam_jax.data import dataset
from glam_jax.data.recording import Recording
from glam_jax.errors import DataError
from glam_jax.own_data import parquet, video
from glam_jax.own_data.key_map import MASK_WAYS
from glam_jax.own_data.lerobot import exported, stats
from glam_jax.own_data.lerobot.columns import Columns
from glam_jax.own_data.lerobot.meta import DATA_PATH, EPISODES_PATH, VERSION, VIDEO_PATH
from glam_jax.schema import Episode

# A file that is larger gets no more episodes (MB); files in a folder.
DATA_MB, VIDEO_MB, CHUNK = 100, 200, 1000
# By this pandas, with which LeRobot reads the tasks, takes `task` as the index.
_TASKS = {
    "index_columns": ["task"],
    "column_indexes": [],
    "columns": [
        {"name": name, "field_name": name, "metadata": None, "pandas_type": kind, "numpy_type": of}
        for name, kind, of in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ],
}


def export(
    directory: epath.Path,
    recording: Recording,
    rate_hz: float | None,
    out: epath.Path,
    as_video: bool = False,
) -> dict:
    """Writes a dataset in LeRobot's format, whole or not at all.

    Masks that a foreign dataset did not have are left out. What else is needed to bring it in
    again is in `meta/glam_jax.json`.

    Args:
      directory: folder of the dataset's files. recording: what it holds.
      rate_hz: steps a second. out: the new folder.
      as_video: images as H.264, which changes them, instead of PNG inside the data files.

    Returns:
      A report: `dataset` (the new folder), `episodes` (split -> number), `frames`.

    Raises:
      DataError: `out` is there already, the dataset is empty or damaged, the rate is unknown or
        not whole, or the sides of a video's pictures are not even.
    """
    if out.exists():
        raise DataError(f"{out}: is there already; remove it or choose another folder")
    if rate_hz is None or rate_hz != int(rate_hz):
        raise DataError(f"{directory}: rate is {rate_hz} Hz, expected a whole number for LeRobot")
    counts = {s: n for s, n in dataset.count(directory, recording).items() if n}
    if not counts:
        raise DataError(f"{directory}: no episodes")
    made_from = recording.about.get("made_from", {})
    views = recording.layout.views
    ways = [made_from.get(way, {}) for way in MASK_WAYS]
    masks = tuple(v for v in views if not made_from or any(way.get(v) for way in ways))
    columns = Columns(recording.layout, int(rate_hz), masks, video=as_video)
    with files.folder_beside(out) as writing:
        writer = Writer(writing, columns)
        for split, count in counts.items():
            episodes = dataset.stream(directory, split, recording)
            for episode in tqdm(episodes, f"exporting {split}", count, unit="episode"):
                writer.add(episode)
        frames = writer.finish(recording, counts)
    return {"dataset": str(out), "episodes": counts, "frames": frames}


class Writer:
    """A LeRobot dataset that is being written, episode after episode."""

    def __init__(self, folder: epath.Path, columns: Columns):
        self._folder, self._columns = folder, columns
        self._features = columns.features()
        self._data = _Files(folder / DATA_PATH, DATA_MB, parquet.Appender)
        side = columns.layout.image_size
        self._videos = {
            name: _Files(
                folder / VIDEO_PATH.replace("{video_key}", name),
                VIDEO_MB,
                lambda path: video.Encoder(path, columns.fps, side, side),
            )
            for name in columns.videos
        }
        self._rows, self._kept, self._frames = [], {}, 0
        self._cameras, self._tasks = "", {}

    def add(self, episode: Episode) -> None:
        """Writes an episode; raises DataError as `video.Encoder` does."""
        length, index = len(episode), len(self._rows)
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        values = self._columns.values(episode, index, self._frames, task)
        self._cameras = episode.cameras
        row = {"episode_index": index, "tasks": [episode.instruction], "length": length}
        data = {n: v for n, v in values.items() if n not in self._videos}
        file = self._data.current()
        file.write({n: _png(v) if v.ndim == 4 else v for n, v in data.items()})
        row |= {f"data/{k}": v for k, v in self._data.place().items()}
        row |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + length}
        for name, numbered in self._videos.items():
            file, fps = numbered.current(), self._columns.fps
            start = file.frames
            file.write(values[name])
            times = {"from_timestamp": start / fps, "to_timestamp": file.frames / fps}
            row |= {f"videos/{name}/{k}": v for k, v in (numbered.place() | times).items()}
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._rows.append(row | self._statistics(values, length))
        self._frames += length

    def _statistics(self, values: dict[str, np.ndarray], length: int) -> dict[str, list]:
        found = {}
        for name, column in values.items():
            kept = stats.gather(column)
            self._kept.setdefault(name, []).append(kept)
            made = stats.summary(kept, column.ndim == 4, length)
            found |= {f"stats/{name}/{key}": value for key, value in made.items()}
        return found

    def finish(self, recording: Recording, counts: dict[str, int]) -> int:
        """Closes the files and writes what describes them.

        Args:
          recording: what was written. counts: split -> episodes, in the order of writing.

        Returns:
          The number of frames.
        """
        for numbered in (self._data, *self._videos.values()):
            numbered.close()
        columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        parquet.write(self._folder / EPISODES_PATH.format(chunk_index=0, file_index=0), columns)
        tasks = {"task_index": np.arange(len(self._tasks)), "task": list(self._tasks)}
        about = {"pandas": json.dumps(_TASKS)}
        parquet.write(self._folder / "meta" / "tasks.parquet", tasks, about)
        found = {}
        for name, kept in self._kept.items():
            picture = self._features[name]["dtype"] in ("image", "video")
            joined = stats.join(kept, picture)
            found[name] = stats.summary(joined, picture, self._frames)
        key_map = self._columns.key_map(self._cameras, "heldout" in counts)
        files.write_json(self._folder / "meta/stats.json", found)
        about = exported.describe(recording, key_map)
        files.write_json(self._folder / exported.FILE, about)
        files.write_json(self._folder / "meta/info.json", self._info(recording.source, counts))
        return self._frames

    def _info(self, source: str, counts: dict[str, int]) -> dict:
        splits, first = {}, 0
        for split, count in counts.items():
            splits[split] = f"{first}:{first + count}"
            first += count
        return {
            "codebase_version": VERSION,
            "robot_type": source,
            "total_episodes": len(self._rows),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": self._columns.fps,
            "splits": splits,
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self._videos else None,
            "features": self._features,
        }


class _Files:
    """Numbered files of one kind; a new one is begun when the last has become large."""

    def __init__(self, template: epath.Path, limit_mb: float, make: Callable[[epath.Path], object]):
        self._template, self._limit, self._make = str(template), limit_mb * 2**20, make
        self._number, self._file = -1, None

    def current(self):
        """The file that the next episode goes into."""
        if self._file is None or self._file.path.stat().length > self._limit:
            self.close()
            self._number += 1
            self._file = self._make(files.path(self._template.format(**self.place())))
        return self._file

    def place(self) -> dict[str, int]:
        """The numbers of the current file."""
        chunk, number = divmod(self._number, CHUNK)
        return {"chunk_index": chunk, "file_index": number}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _png(pictures: np.ndarray) -> list[bytes]:
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return encoded
