"""Frames in and out of video files; the only module that uses PyAV."""

from collections.abc import Iterator

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError, first_line

try:
    import av
except ImportError as error:
    raise DataError("videos need PyAV: pip install -e '.[lerobot]'") from error

CODEC, PIXELS = "h264", "yuv420p"
# Quality (lower is better), and how often a frame needs no other to be decoded.
_OPTIONS = {"crf": "14", "g": "2", "bf": "0"}


def frames(
    path: epath.Path, start: float, count: int, fps: float, tolerance: float
) -> Iterator[np.ndarray]:
    """Frames of a video, at `start + k / fps` for k < count, one by one: uint8 (H, W, 3).

    Args:
      path: the file. start: time (s) of the first one. count: how many. fps: of those wanted.
      tolerance: how far a frame may be from its time, in frames.

    Raises:
      DataError: the file is damaged, ends too early, or has no frame at such a time.
    """
    number = 0
    try:
        with files.local(path) as at, av.open(str(at)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            early = max(start - 1 / fps, 0.0)
            container.seek(int(early / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                late = (frame.time - start) * fps - number  # in frames
                # The frame before the first one may be another episode's.
                if late < -(tolerance if number else min(tolerance, 0.5)):
                    continue
                if late > tolerance:
                    raise DataError(
                        f"{path}: no frame at {start + number / fps:.4f} s, the next is at "
                        f"{frame.time:.4f} s; it has {float(stream.average_rate or 0):g} frames a "
                        f"second, expected {fps:g}"
                    )
                yield frame.to_ndarray(format="rgb24")
                if (number := number + 1) == count:
                    return
    except (av.FFmpegError, IndexError, TypeError, OSError) as error:
        raise DataError(f"{path}: not readable as a video ({first_line(error)})") from error
    raise DataError(f"{path}: ends after {number} of {count} frames from {start:.4f} s on")


class Encoder:
    """A video file that is written frame by frame, in H.264."""

    def __init__(self, path: epath.Path, fps: int, height: int, width: int):
        """Raises DataError for sides that are not even, which the codec cannot have."""
        if height % 2 or width % 2:
            raise DataError(f"{path}: pictures are {height} x {width}, videos need even sides")
        files.make_folder(path.parent)
        self.path, self.frames = path, 0
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=fps, options=_OPTIONS)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, PIXELS

    def write(self, pictures: np.ndarray) -> None:
        """Appends pictures, uint8 (T, H, W, 3)."""
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = self.frames
            self._container.mux(self._stream.encode(frame))
            self.frames += 1

    def close(self) -> None:
        """Finishes the file."""
        self._container.mux(self._stream.encode())
        self._container.close()
