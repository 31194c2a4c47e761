"""Episodes of a LeRobot dataset in a local folder, as arrays of the columns that are wanted."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data import parquet
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.lerobot import meta

# Formats in which pictures lie in a data file.
_ENCODINGS = ("PNG", "JPEG", "WEBP")
# How far a timestamp may be from its frame's, in frames.
_TOLERANCE = 0.1


class Reader:
    """A LeRobot dataset that is open for reading.

    Attributes:
      folder: of its files. lengths: split -> number of episodes.
    """

    def __init__(self, keys: KeyMap):
        """Opens the dataset and checks the key map against its description.

        Raises:
          DataError: another format than v3.0, a column or split that it does not have (lists what
            it has), or another rate.
        """
        self._keys = keys
        self.folder = files.path(keys.path)
        self._meta = meta.read(self.folder)
        self.lengths = {name: len(episodes) for name, episodes in self._meta.splits.items()}
        features, about = self._meta.features, self._meta.episodes[:1]
        keys.check_found(
            self.folder, self.lengths, features, {*features, *(about[0] if about else ())}, "column"
        )
        if abs(keys.rate_hz - self._meta.fps) > 1e-6 * self._meta.fps:
            raise DataError(
                f"{self.folder}/meta/info.json: fps is {self._meta.fps:g}, "
                f"but rate_hz of the key map is {keys.rate_hz:g}"
            )
        self._check_kinds()

    def _check_kinds(self) -> None:
        """Raises DataError where pictures are expected and numbers found, or the reverse."""
        for role, selectors in self._keys.selectors().items():
            for selector in selectors:
                feature = self._meta.features[selector.path]
                kind, about = feature["dtype"], feature.get("info") or {}
                depth = about.get("is_depth_map") or about.get("video.is_depth_map")
                is_picture = kind in meta.PICTURES and not depth
                wants_picture = role.startswith(("image_", "mask_"))
                if is_picture != wants_picture or kind == "string":
                    raise DataError(
                        f"{self.folder}: column {selector.path!r} holds {kind}"
                        f"{' of depth' if depth else ''}, expected "
                        f"{'pictures' if wants_picture else 'numbers'} for {role}"
                    )

    def episodes(self, split: str, first: int, count: int) -> Iterator[tuple[dict, bool]]:
        """Episodes `first` to `first + count` of a split.

        Yields:
          ({role: arrays (T, ...), one per key}, success). With alignment "ars" an episode is one
          step shorter, each action now with the state that it was given in.

        Raises:
          DataError: an episode cannot be read, or is not as long as the description says; names
            the file, the episode and the column.
        """
        for episode in self._meta.splits[split][first : first + count]:
            rows = self._rows(episode)
            self._check_frames(episode, rows)
            arrays = {}
            for role, selectors in self._keys.selectors().items():
                pick = self._masks if role.startswith("mask_") else self._array
                arrays[role] = [s.pick(pick(episode, s.path, rows)) for s in selectors]
            if self._keys.alignment == "ars":
                arrays = {
                    role: [a[1:] if role == "action" else a[:-1] for a in found]
                    for role, found in arrays.items()
                }
            yield arrays, self._success(episode, rows)

    def _rows(self, episode: int) -> dict[str, np.ndarray | list]:
        """Columns of an episode's rows that are wanted and lie in a data file."""
        used = {s.path for selectors in self._keys.selectors().values() for s in selectors}
        used |= {self._keys.success} & set(self._meta.features)
        stored = [n for n in sorted(used) if self._meta.features[n]["dtype"] != "video"]
        path = self._meta.data_file(episode)
        wanted = dict.fromkeys(["episode_index", "frame_index", "timestamp", *stored])
        return parquet.read(path, wanted, episode)

    def _check_frames(self, episode: int, rows: dict) -> None:
        """Raises DataError for rows that are missing, out of order or at another rate."""
        frames, length = rows["frame_index"], self._meta.episodes[episode]["length"]
        place = f"{self._meta.data_file(episode)}, episode {episode}"
        if len(frames) != length:
            raise DataError(
                f"{place}: {len(frames)} frames, expected {length} by length in meta/episodes"
            )
        if not np.array_equal(frames, np.arange(length)):
            raise DataError(f"{place}, column 'frame_index': expected 0 to {length - 1} in order")
        off = np.abs(rows["timestamp"] * self._meta.fps - frames) > _TOLERANCE
        if off.any():
            step = int(np.flatnonzero(off)[0])
            raise DataError(
                f"{place}, step {step}, column 'timestamp': found "
                f"{rows['timestamp'][step]:.4f} s, expected {step / self._meta.fps:.4f} s at "
                f"{self._meta.fps:g} frames a second"
            )

    def _array(self, episode: int, column: str, rows: dict) -> np.ndarray:
        """Numbers (T, n) or pictures (T, H, W, 3)."""
        kind = self._meta.features[column]["dtype"]
        if kind == "video":
            from glam_jax.own_data import video

            path, start = self._meta.video_file(episode, column)
            return video.read(path, start, len(rows["frame_index"]), self._meta.fps)
        if kind == "image":
            place = f"{self._meta.data_file(episode)}, episode {episode}, column {column!r}"
            return _pictures(rows[column], place)
        shape, values = self._meta.features[column]["shape"], rows[column]
        width = None if isinstance(values, list) else values[0].size
        if width != np.prod(shape):
            found = "gaps or rows of several lengths" if width is None else f"{width} numbers a row"
            raise DataError(
                f"{self._meta.data_file(episode)}, episode {episode}, column {column!r}: {found}, "
                f"expected shape {shape} by info.json"
            )
        return values

    def _masks(self, episode: int, column: str, rows: dict) -> np.ndarray:
        """Masks (T, H, W): above 0 in any channel, or in a video, which blurs, above half."""
        brightest = self._array(episode, column, rows).max(axis=-1)
        lossy = self._meta.features[column]["dtype"] == "video"
        return brightest >= 128 if lossy else brightest > 0

    def _success(self, episode: int, rows: dict) -> bool:
        if not (key := self._keys.success):
            return True
        return bool(np.any(rows[key] if key in rows else self._meta.episodes[episode][key]))


def _pictures(encoded: list[bytes], place: str) -> np.ndarray:
    """Pictures (T, H, W, 3) uint8 of one size."""
    decoded = []
    for step, data in enumerate(encoded):
        try:
            with Image.open(io.BytesIO(data), formats=_ENCODINGS) as picture:
                if picture.mode.startswith(("I", "F")):
                    raise ValueError(f"mode {picture.mode} is of depth, expected colours")
                decoded.append(np.asarray(picture.convert("RGB")))
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{place}, step {step}: not readable as a picture ({error})") from error
    if len(sizes := {picture.shape for picture in decoded}) != 1:
        raise DataError(f"{place}: pictures of sizes {sorted(sizes)}, expected one")
    return np.stack(decoded)
