"""Episodes of a LeRobot dataset in a local folder, as arrays of the columns that are wanted."""

import functools
import io
from collections.abc import Iterator

import numpy as np
from etils import epath
from PIL import Image

from glam_jax import files
from glam_jax.errors import DataError, first_line
from glam_jax.own_data import parquet
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.lerobot import meta
from glam_jax.own_data.raw_episode import Facts, RawEpisode

# Formats in which pictures lie in a data file.
_ENCODINGS = ("PNG", "JPEG", "WEBP")


class Reader:
    """A LeRobot dataset that is open for reading; see `readers.Reader`."""

    def __init__(self, keys: KeyMap):
        """Opens the dataset and checks the key map against its description.

        Raises:
          DataError: an unknown format, a column or split that it does not have (lists what it
            has), or another rate.
        """
        self._keys = keys
        self.folder = files.path(keys.path)
        self._meta = meta.read(self.folder)
        self.lengths = {name: len(episodes) for name, episodes in self._meta.splits.items()}
        features, about = self._meta.features, self._meta.episodes[:1]
        self._of_episode = set(about[0]) if about else set()
        keys.check_found(
            self.folder, self.lengths, features, {*features, *self._of_episode}, "column"
        )
        if abs(keys.rate_hz - self._meta.fps) > 1e-6 * self._meta.fps:
            raise DataError(
                f"{self.folder}/meta/info.json: fps is {self._meta.fps:g}, "
                f"but rate_hz of the key map is {keys.rate_hz:g}"
            )
        self._check_kinds()
        self.shapes = {key: self._shape(features[key]) for key in keys.uses()}
        self.lossy = frozenset(key for key in keys.uses() if features[key]["dtype"] == "video")

    @staticmethod
    def _shape(feature: dict) -> tuple[tuple[int, ...], str]:
        if feature["dtype"] in meta.PICTURES:
            sides = [side for side in feature["shape"] if side not in (1, 3, 4)]
            return (*sides, 3), "uint8"
        return tuple(feature["shape"]), feature["dtype"]

    def _check_kinds(self) -> None:
        """Raises DataError where pictures are expected and numbers found, or the reverse."""
        for key, role in (
            (key, role) for key, roles in self._keys.uses().items() for role in roles
        ):
            feature = self._meta.features[key]
            kind, about = feature["dtype"], feature.get("info") or {}
            depth = about.get("is_depth_map") or about.get("video.is_depth_map")
            is_picture = kind in meta.PICTURES and not depth
            wants_picture = role.startswith(("image_", "mask_"))
            if is_picture != wants_picture or kind == "string":
                raise DataError(
                    f"{self.folder}: column {key!r} holds {kind}"
                    f"{' of depth' if depth else ''}, expected "
                    f"{'pictures' if wants_picture else 'numbers'} for {role}"
                )

    def facts(self, split: str) -> list[Facts]:
        """Reads the column of success, if there is one."""
        return [self._about(episode) for episode in self._meta.splits[split]]

    def _about(self, episode: int) -> Facts:
        row, key = self._meta.episodes[episode], self._keys.success
        success = row.get(key, True) if key else True
        if key in self._meta.features:
            success = self._columns(episode, [key])[key]
        text = row.get(self._keys.text, "") if self._keys.text else ""
        if isinstance(text, (list, tuple)):  # an episode may have several tasks
            text = "; ".join(map(str, text))
        return Facts(row["length"], bool(np.any(success)), str(text))

    def episode(self, split: str, index: int) -> RawEpisode:
        """One episode.

        Raises:
          DataError: it cannot be read, or is not as long as the description says; names the file,
            the episode and the column.
        """
        episode = self._meta.splits[split][index]
        about = self._about(episode)
        rows = self._columns(episode, [key for key in self._keys.uses() if key not in self._videos])
        self._check_frames(episode, rows)
        return RawEpisode(index, self._steps(episode, rows), about.success, about.text)

    @functools.cached_property
    def _videos(self) -> set[str]:
        return {key for key, f in self._meta.features.items() if f["dtype"] == "video"}

    def _columns(self, episode: int, names: list[str]) -> dict[str, np.ndarray | list]:
        """Columns of an episode's rows, wherever they lie."""
        wanted = dict.fromkeys(["episode_index", "frame_index", "timestamp", *names])
        path = self._file(episode)
        rows = parquet.read(path, wanted, episode)
        if not len(rows["frame_index"]) and path != (other := self._files[episode]):
            rows = parquet.read(other, wanted, episode)
        return rows

    def _file(self, episode: int) -> epath.Path:
        """The file that the description names, or if it is not there, the one that has the rows."""
        path = self._meta.data_file(episode)
        return path if path.is_file() or not self._meta.data_files() else self._files[episode]

    @functools.cached_property
    def _files(self) -> dict[int, epath.Path]:
        """Episode -> the file that has its rows, by what is in the files."""
        found = {n: self._meta.data_file(n) for n in range(len(self._meta.episodes))}
        for path in self._meta.data_files():
            episodes = parquet.read(path, ["episode_index"])["episode_index"]
            found |= dict.fromkeys(np.unique(episodes).tolist(), path)
        return found

    def _check_frames(self, episode: int, rows: dict) -> None:
        """Raises DataError for rows that are missing, out of order or at another rate."""
        frames, length = rows["frame_index"], self._meta.episodes[episode]["length"]
        place = f"{self._file(episode)}, episode {episode}"
        if len(frames) != length:
            raise DataError(
                f"{place}: {len(frames)} frames, expected {length} by length in meta/episodes"
            )
        if not np.array_equal(frames, np.arange(length)):
            raise DataError(f"{place}, column 'frame_index': expected 0 to {length - 1} in order")
        off = np.abs(rows["timestamp"] * self._meta.fps - frames) > self._keys.timestamp_tolerance
        if off.any():
            step = int(np.flatnonzero(off)[0])
            raise DataError(
                f"{place}, step {step}, column 'timestamp': found "
                f"{rows['timestamp'][step]:.4f} s, expected {step / self._meta.fps:.4f} s at "
                f"{self._meta.fps:g} frames a second; timestamp_tolerance admits more"
            )

    def _steps(self, episode: int, rows: dict) -> Iterator[dict[str, np.ndarray]]:
        columns = {key: self._column(episode, key, rows) for key in self._keys.uses()}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def _column(self, episode: int, column: str, rows: dict) -> Iterator[np.ndarray]:
        """Numbers or pictures (H, W, 3) of one step after the other."""
        kind, place = (
            self._meta.features[column]["dtype"],
            f"{self._file(episode)}, episode {episode}",
        )
        if kind == "video":
            from glam_jax.own_data import video

            path, start = self._meta.video_file(episode, column)
            count, fps = len(rows["frame_index"]), self._meta.fps
            return video.frames(path, start, count, fps, self._keys.timestamp_tolerance)
        if kind == "image":
            return _pictures(rows[column], f"{place}, column {column!r}")
        shape, values = self._meta.features[column]["shape"], rows[column]
        width = None if isinstance(values, list) else values[0].size
        if width != np.prod(shape):
            found = "gaps or rows of several lengths" if width is None else f"{width} numbers a row"
            raise DataError(
                f"{place}, column {column!r}: {found}, expected shape {shape} by info.json"
            )
        return iter(values)


def _pictures(encoded: list[bytes], place: str) -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) uint8 of one size."""
    size = None
    for step, data in enumerate(encoded):
        try:
            with Image.open(io.BytesIO(data), formats=_ENCODINGS) as picture:
                if picture.mode.startswith(("I", "F")):
                    raise ValueError(f"mode {picture.mode} is of depth, expected colours")
                found = np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(
                f"{place}, step {step}: not readable as a picture ({first_line(error)})"
            ) from error
        size = size or found.shape
        if found.shape != size:
            raise DataError(f"{place}, step {step}: {found.shape}, expected {size} as before")
        yield found
