"""The frames of all sources in flat arrays in memory: what batches are drawn from. On disk they are
episodes, see `dataset`."""

import itertools
import math
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from glam_jax.data import spill
from glam_jax.data.recording import check_together
from glam_jax.errors import DataError
from glam_jax.schema import EE_DIM, MODALITIES, TARGET_ONLY, Episode, Layout

_STORED_AS = {"rgb": "image", "mask": "mask"}


class Store:
    """Frames of all sources, flattened: N frames of M episodes.

    Auxiliary episodes are used without actions and joints, whether they were recorded with them
    or not.

    Attributes:
      layout: layout of the target source.
      arrays: `rgb` (N, V, H, W, 3) and the bits of `mask` (N, V, H, ceil(W / 8)), uint8, views as
        in `layout.views`, in memory, on an accelerator or in a file (see `pictures`); `ee_pose`
        (N, E), `proprio` (N, S), `action` (N, A), float32, the last two zero on auxiliary frames;
        `last` (N,), int32: the frame at which the last transition of the frame's episode starts.
      starts, lengths: (M,) first frame and number of frames of each episode.
      targets: number of target episodes; they come first.
      weights: (M,) how likely a window of each episode is drawn, relative to the others of its
        kind; None if all are as likely.
    """

    def __init__(
        self,
        target: Iterable[Episode],
        auxiliary: Iterable[Episode] = (),
        modalities: Sequence[str] = tuple(MODALITIES),
        weights: Sequence[float] | None = None,
        memory_bytes: int | None = None,
    ):
        """Copies the episodes, one after the other; each image is held once.

        Args:
          memory_bytes: most bytes of all arrays together, on host and device. Images beyond it, the
            largest first, are kept in a file, `spill.FileRows`; None: all are in memory.

        Raises:
          DataError: for episodes that do not go together, see `recording.check_together`, or whose
            arrays have other shapes than those of the first.
          ValueError: without target episodes.
          OSError: no room for the file.
        """
        target = iter(target)
        if (first := next(target, None)) is None:
            raise ValueError("a store needs target episodes, found none")
        self.layout = _layout_of(first)
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self._memory_bytes, growing = memory_bytes, _columns(self.layout, modalities)
        lengths, self.targets = [], 0
        for episode in itertools.chain([first], target):
            lengths.append(self._add(growing, episode, first, ("ee_pose", *TARGET_ONLY)))
            self.targets += 1
        for episode in auxiliary:
            lengths.append(self._add(growing, episode, first, ("ee_pose",)))
        self.lengths = np.array(lengths, np.int32)
        self.starts = (np.cumsum(self.lengths) - self.lengths).astype(np.int32)
        last = self.starts + self.lengths - 2
        growing["last"].add(np.repeat(last, self.lengths).astype(np.int32))
        self._keep_within(growing)
        self._padded = {name: column.finish() for name, column in growing.items()}
        frames = int(self.lengths.sum())
        self.arrays = {
            name: array[:frames] if isinstance(array, np.ndarray) else array
            for name, array in self._padded.items()
        }
        self._on_device = {}

    def _add(self, growing: dict, episode: Episode, first: Episode, known: tuple) -> int:
        """Adds an episode's images and the `known` of its other arrays; returns its length."""
        check_together([first, episode])
        expected = self.layout.step_arrays()

        def steps(name: str) -> np.ndarray:
            array, shape = episode.steps[name], (len(episode), *expected[name][0])
            if array.shape != shape:
                raise DataError(
                    f"{episode.source} episode of seed {episode.seed}, key {name!r}: "
                    f"found shape {array.shape}, expected {shape} as in source {first.source}"
                )
            return array

        for name, column in growing.items():
            if name in _STORED_AS:
                views = [steps(f"{_STORED_AS[name]}_{view}") for view in self.layout.views]
                stacked = np.stack(views, axis=1)
                column.add(stacked if name == "rgb" else _bits(stacked))
            elif name in known:
                column.add(steps(name))
            elif name in expected:
                column.add(np.zeros((len(episode), *expected[name][0]), np.float32))
        self._keep_within(growing)
        return len(episode)

    def _keep_within(self, growing: dict) -> None:
        """Moves images to files, the largest first, until the rest is small enough."""

        def held(name: str) -> int:
            return growing[name].held_bytes

        most = math.inf if self._memory_bytes is None else self._memory_bytes
        while sum(map(held, growing)) > most:
            largest = max(growing.keys() & _STORED_AS.keys(), key=held, default=None)
            if largest is None or not held(largest):
                return
            growing[largest].spill()

    def starts_of(self, following: int, target: bool) -> np.ndarray:
        """Frames (n,) of target or auxiliary episodes with `following` more behind them."""
        chosen = slice(None, self.targets) if target else slice(self.targets, None)
        ranges = [
            np.arange(start, start + length - following, dtype=np.int32)
            for start, length in zip(self.starts[chosen], self.lengths[chosen], strict=True)
        ]
        return np.concatenate([np.zeros(0, np.int32), *ranges])

    def cumulative_of(self, following: int, target: bool) -> np.ndarray | None:
        """Cumulative probabilities (n,) of the frames of `starts_of`; None if all are equal."""
        if self.weights is None:
            return None
        chosen = slice(None, self.targets) if target else slice(self.targets, None)
        each = np.repeat(self.weights[chosen], self.lengths[chosen] - following)
        return (np.cumsum(each) / each.sum()).astype(np.float32)

    def transition_frames(self) -> np.ndarray:
        """Frames (n,) at which transitions start, in order: the order of labels."""
        return np.concatenate([self.starts_of(1, True), self.starts_of(1, False)])

    def transition_actions(self) -> np.ndarray:
        """Actions (n, A) of all transitions in order: MIP's labels."""
        return self.arrays["action"][self.transition_frames()]

    def per_episode(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows (n, ...) of all transitions, such as labels, as those of each episode."""
        return np.split(rows, np.cumsum(self.lengths - 1)[:-1])

    def nbytes(self, names: Sequence[str]) -> int:
        """Bytes of the named arrays."""
        return sum(self.arrays[name].nbytes for name in names)

    def pictures(self, modality: str, frames) -> np.ndarray | jax.Array:
        """Images of frames (...), whole numbers: (..., V, H, W, C), of "mask" 0 and 1."""
        return pictures(self.arrays[modality], modality, frames, self.layout.image_size)

    def in_memory(self, names: Sequence[str]) -> bool:
        """Whether none of the named arrays is in a file: a device can keep them."""
        return not any(isinstance(self.arrays[name], spill.FileRows) for name in names)

    def on_device(self, name: str) -> jax.Array:
        """A named array on the default device, with rows of zeros at the end (`spill.padded`);
        put there once and shared by all feeds. Images are then nowhere else."""
        if name not in self._on_device:
            self._on_device[name] = jax.device_put(self._padded.pop(name))
            # A CPU's device takes the host's memory as it is.
            if name in _STORED_AS and jax.default_backend() != "cpu":
                self.arrays[name] = self._on_device[name]
        return self._on_device[name]


def take(array, index):
    """Rows of an array of numpy's, of JAX's or of a file."""
    # "clip" does not change valid indices, and is ten times faster on CPU than the default.
    if isinstance(array, jax.Array):
        return array.at[index].get(mode="clip")
    return array.take(index, axis=0)


def pictures(stored, modality: str, frames, side: int):
    """As `Store.pictures`, of the store's array; pure JAX for an array of JAX's."""
    found = take(stored, frames)
    if modality == "rgb":
        return found
    if isinstance(found, np.ndarray):
        return np.unpackbits(found, axis=-1, count=side, bitorder="little")[..., None]
    pixels = (found[..., None] >> np.arange(8, dtype=np.uint8)) & 1
    return pixels.reshape(*found.shape[:-1], -1)[..., :side, None]


def _bits(masks: np.ndarray) -> np.ndarray:
    """Masks (..., W, 1) of 0 and 1 as bits (..., ceil(W / 8))."""
    return np.packbits(masks[..., 0], axis=-1, bitorder="little")


def _layout_of(episode: Episode) -> Layout:
    """The layout of a target source, as one of its episodes has it."""
    steps = episode.steps
    arms, views = steps["ee_pose"].shape[1] // EE_DIM, episode.views
    size = steps[f"image_{views[0]}"].shape[1]
    widths = {f"arm_{name}": steps[name].shape[1] // arms for name in TARGET_ONLY}
    return Layout(arms=arms, image_size=size, has_actions=True, views=views, **widths)


def _columns(layout: Layout, modalities: Sequence[str]) -> dict:
    """Name -> `spill.Growing`, of all arrays."""
    arrays, made = layout.step_arrays(), {"last": spill.Growing((), np.int32)}
    for name in modalities:
        shape = layout.image_shape(name)
        row = shape if name == "rgb" else (*shape[:-2], -(-layout.image_size // 8))
        made[name] = spill.Growing(row, np.uint8)
    return made | {name: spill.Growing(*arrays[name]) for name in ("ee_pose", *TARGET_ONLY)}
