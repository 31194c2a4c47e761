"""Episodes of a LeRobot dataset in a local folder, as arrays of the columns that are wanted."""

import functools
from collections.abc import Iterator

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data import images, parquet
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.lerobot import meta
from glam_jax.own_data.raw_episode import Facts, RawEpisode


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
        features, table = self._meta.features, self._meta.episodes
        told = {name for row in table for name in row}
        keys.check_found(self.folder, self.lengths, features, {*features, *told}, "column")
        if abs(keys.rate_hz - self._meta.fps) > 1e-6 * self._meta.fps:
            raise DataError(
                f"{self.folder}/meta/info.json: fps is {self._meta.fps:g}, "
                f"but rate_hz of the key map is {keys.rate_hz:g}"
            )
        # Columns of the frames that tell of the episode.
        self._about = [key for key in (keys.success, keys.text) if key in features]
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
        """Raises DataError where pictures are expected and numbers found, or the like."""
        keys = self._keys
        uses = [(key, role) for key, roles in keys.uses().items() for role in roles]
        uses += [(getattr(keys, role), role) for role in ("success", "text")]
        for key, role in uses:
            if key not in self._meta.features:
                continue
            feature, wanted = self._meta.features[key], _wanted(role)
            if (kind := _kind(feature)) != wanted:
                raise DataError(
                    f"{self.folder}: column {key!r} holds {feature['dtype']}"
                    f"{' of depth' if kind == 'depth' else ''}, expected {wanted} for {role}"
                )

    def facts(self, split: str, index: int) -> Facts:
        """Reads the columns of success and instruction, if they are of the frames."""
        episode = self._meta.splits[split][index]
        return self._facts(episode, self._rows(episode, self._about)[1] if self._about else {})

    def _facts(self, episode: int, rows: dict[str, np.ndarray | list]) -> Facts:
        keys, found = self._keys, self._meta.episodes[episode] | rows
        success, texts = found.get(keys.success), np.ravel(found.get(keys.text))
        if np.asarray(success).dtype.kind == "U":
            raise DataError(
                f"{self._meta.place(episode)}: {keys.success} is {success!r}, expected true or "
                "false for success"
            )
        # A text of each frame, or several of an episode.
        text = "; ".join(dict.fromkeys(str(text) for text in texts if text is not None))
        success = not keys.success or bool(np.any(success))
        return Facts(self._meta.episodes[episode]["length"], success, text)

    def episode(self, split: str, index: int) -> RawEpisode:
        """One episode.

        Raises:
          DataError: it cannot be read, or is not as long as the description says; names the file,
            the episode and the column.
        """
        episode, features = self._meta.splits[split][index], self._meta.features
        kept = [key for key in self._keys.uses() if features[key]["dtype"] != "video"]
        path, rows = self._rows(episode, [*kept, *self._about])
        place = f"{path}, episode {episode}"
        self._check_frames(place, self._meta.episodes[episode]["length"], rows)
        about = self._facts(episode, rows)
        return RawEpisode(index, self._steps(place, episode, rows), about.success, about.text)

    def _rows(self, episode: int, names: list[str]) -> tuple[epath.Path, dict]:
        """The file that has an episode's rows, and columns of them.

        That is the file that the description names, unless the rows lie in another one.
        """
        needed = ["episode_index", "frame_index", "timestamp", *names]
        path = self._meta.data_file(episode)
        if path.is_file():
            rows = parquet.read(path, needed, episode)
            if len(rows["episode_index"]):
                return path, rows
        path = self._files.get(episode, path)
        return path, parquet.read(path, needed, episode)

    @functools.cached_property
    def _files(self) -> dict[int, epath.Path]:
        """Episode -> the file that has its rows, by what is in the files."""
        found = {}
        for path in self._meta.data_files():
            episodes = parquet.read(path, ["episode_index"])["episode_index"]
            found |= dict.fromkeys(np.unique(episodes).tolist(), path)
        return found

    def _check_frames(self, place: str, length: int, rows: dict) -> None:
        """Raises DataError for rows that are missing, out of order or at another rate."""
        frames, fps = rows["frame_index"], self._meta.fps
        if len(frames) != length:
            raise DataError(
                f"{place}: {len(frames)} frames, expected {length} by length in meta/episodes"
            )
        if not np.array_equal(frames, np.arange(length)):
            raise DataError(f"{place}, column 'frame_index': expected 0 to {length - 1} in order")
        times = np.asarray(rows["timestamp"], float)
        off = ~(np.abs(times * fps - frames) <= self._keys.timestamp_tolerance)
        if off.any():
            step = int(np.flatnonzero(off)[0])
            raise DataError(
                f"{place}, step {step}, column 'timestamp': found {times[step]:.4f} s, expected "
                f"{step / fps:.4f} s at {fps:g} frames a second; timestamp_tolerance admits more"
            )

    def _steps(self, place: str, episode: int, rows: dict) -> Iterator[dict[str, np.ndarray]]:
        columns = {key: self._column(place, episode, key, rows) for key in self._keys.uses()}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def _column(self, place: str, episode: int, column: str, rows: dict) -> Iterator[np.ndarray]:
        """Numbers or pictures (H, W, 3) of one step after the other."""
        kind, shape = (self._meta.features[column][name] for name in ("dtype", "shape"))
        if kind == "video":
            from glam_jax.own_data import video

            path, start = self._meta.video_file(episode, column)
            count, fps = len(rows["frame_index"]), self._meta.fps
            return video.frames(path, start, count, fps, self._keys.timestamp_tolerance)
        if kind == "image":
            return _pictures(rows[column], f"{place}, column {column!r}")
        values = rows[column]
        width = None if isinstance(values, list) else values[0].size
        if width != np.prod(shape):
            found = "gaps or rows of several lengths" if width is None else f"{width} numbers a row"
            raise DataError(
                f"{place}, column {column!r}: {found}, expected shape {shape} by info.json"
            )
        return iter(values)


def _kind(feature: dict) -> str:
    """What a column of the frames holds, by its description."""
    if feature["dtype"] == "string":
        return "texts"
    if feature["dtype"] not in meta.PICTURES:
        return "numbers"
    about = feature.get("info") or feature.get("video_info") or {}
    return "depth" if about.get("is_depth_map") or about.get("video.is_depth_map") else "pictures"


def _wanted(role: str) -> str:
    """What a column must hold to be used as `position`, `image_front`, ..."""
    if role.startswith(("image_", "mask_")):
        return "pictures"
    return "texts" if role == "text" else "numbers"


def _pictures(encoded: list[bytes], place: str) -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) uint8 of one size."""
    size = None
    for step, data in enumerate(encoded):
        found = images.decoded(data, f"{place}, step {step}")
        size = size or found.shape
        if found.shape != size:
            raise DataError(f"{place}, step {step}: {found.shape}, expected {size} as before")
        yield found
