"""Videos of episodes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Callable, Collection, Iterator

import numpy as np

from .simulator import Simulator


class FilmError(ValueError):
    """No video can be written; says what is missing."""


class Films:
    """Which episodes are filmed, from where, and how fast the film runs."""

    def __init__(
        self,
        folder: str | os.PathLike | None,
        seeds: Collection[int],
        camera: str | None,
        rate: float,
    ):
        """
        Args:
          folder: where `seed_SEED.mp4` is written. seeds: whose episodes are filmed; may be empty.
          camera: see `Simulator.picture`. rate: images a second.

        Raises:
          FilmError: there is no folder, or imageio's ffmpeg is not installed.
        """
        self._folder, self._seeds, self._camera, self._rate = folder, seeds, camera, rate
        if not seeds:
            return
        if folder is None:
            raise FilmError("films need a folder: give --out")
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            raise FilmError("films need ffmpeg: pip install imageio-ffmpeg") from None

    @contextlib.contextmanager
    def filming(self, seed: int, simulator: Simulator) -> Iterator[Callable[[], None]]:
        """A function that takes a picture, if the seed is filmed; the film is there at the end.

        Raises:
          FilmError: the encoder failed, or pictures change their size. SimulatorError: there is no
            picture.
        """
        if seed not in self._seeds:
            yield lambda: None
            return
        path = pathlib.Path(self._folder).expanduser() / f"seed_{seed}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{os.getpid()}.{path.name}")
        encoder = _Encoder(new, self._rate)
        try:
            yield lambda: encoder.add(simulator.picture(self._camera))
            encoder.close()
            os.replace(new, path)
        finally:
            encoder.stop()
            if new.exists():
                new.unlink()


class _Encoder:
    """Images through ffmpeg into an H.264 MP4.

    Not by imageio, whose writer forks, which may block a simulator with threads such as JAX's.
    """

    def __init__(self, path: pathlib.Path, rate: float):
        self._path, self._rate = path, rate
        self._ffmpeg: subprocess.Popen | None = None
        self._shape: tuple[int, ...] = ()

    def add(self, image: np.ndarray) -> None:
        if self._ffmpeg is None:
            self._shape = image.shape
            self._ffmpeg = self._start()
        if image.shape != self._shape:
            raise FilmError(f"found an image {image.shape} after {self._shape}; expected one size")
        try:
            self._ffmpeg.stdin.write(np.ascontiguousarray(image))
        except BrokenPipeError:
            raise FilmError(f"{self._path}: ffmpeg ended early; its words are above") from None

    def _start(self) -> subprocess.Popen:
        import imageio_ffmpeg

        size = f"{self._shape[1]}x{self._shape[0]}"
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(self._rate)]
        # The format asks for even sides.
        even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
        program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
        words = [*program, *source, "-i", "-", *even, str(self._path)]
        return subprocess.Popen(words, stdin=subprocess.PIPE)

    def close(self) -> None:
        """Ends the film."""
        self._ffmpeg.stdin.close()
        if self._ffmpeg.wait():
            raise FilmError(f"{self._path}: ffmpeg failed; its words are above")

    def stop(self) -> None:
        """Ends the encoder, wherever it is."""
        if self._ffmpeg is not None:
            with contextlib.suppress(BrokenPipeError):
                self._ffmpeg.stdin.close()
            self._ffmpeg.kill()
            self._ffmpeg.wait()
