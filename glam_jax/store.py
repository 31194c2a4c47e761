"""The frames of all sources in flat arrays: what batches are drawn from."""

from collections.abc import Sequence

import jax
import numpy as np

from glam_jax.recording import check_together
from glam_jax.schema import EE_DIM, TARGET_ONLY, VIEWS, Episode, Layout

MODALITIES = ("rgb", "mask")
_STORED_AS = {"rgb": "image", "mask": "mask"}


class Store:
    """Frames of all sources, flattened: N frames of M episodes.

    Auxiliary episodes are used without actions and joints, whether they were recorded with them
    or not.

    Attributes:
      layout: layout of the target source.
      arrays: `rgb` (N, H, W, 2 * 3) and `mask` (N, H, W, 2), uint8, both views stacked on
        channels; `ee_pose` (N, E), `proprio` (N, S), `action` (N, A), float32, the last two
        zero on auxiliary frames; `last` (N,), int32: the frame at which the last transition
        of the frame's episode starts.
      starts, lengths: (M,) first frame and number of frames of each episode.
      targets: number of target episodes; they come first.
      weights: (M,) how likely a window of each episode is drawn, relative to the others of its
        kind; None if all are as likely.
    """

    def __init__(
        self,
        target: Sequence[Episode],
        auxiliary: Sequence[Episode] = (),
        modalities: Sequence[str] = MODALITIES,
        weights: Sequence[float] | None = None,
    ):
        """Copies the episodes; each image is held once.

        Raises:
          DataError: for episodes of different tasks or numbers of arms.
          ValueError: without target episodes, for an unknown modality, or for arrays whose
            shape is not that of the first episode.
        """
        if not target:
            raise ValueError("a store needs target episodes, found none")
        if unknown := set(modalities) - set(MODALITIES):
            raise ValueError(f"unknown modalities {sorted(unknown)}, known: {MODALITIES}")
        episodes = [*target, *auxiliary]
        check_together(episodes)
        first = target[0].steps
        size, arms = first["image_front"].shape[1], first["ee_pose"].shape[1] // EE_DIM
        widths = {f"arm_{name}": first[name].shape[1] // arms for name in TARGET_ONLY}
        self.layout = Layout(arms=arms, image_size=size, has_actions=True, **widths)
        self.targets = len(target)
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self.lengths = np.array([len(e) for e in episodes], np.int32)
        self.starts = (np.cumsum(self.lengths) - self.lengths).astype(np.int32)
        last = self.starts + self.lengths - 2
        self.arrays = {"last": np.repeat(last, self.lengths).astype(np.int32)}
        for modality in modalities:
            names = [f"{_STORED_AS[modality]}_{view}" for view in VIEWS]
            self.arrays[modality] = self._flatten(episodes, names)
        for name in ("ee_pose", *TARGET_ONLY):
            having = target if name in TARGET_ONLY else episodes
            self.arrays[name] = self._flatten(having, [name])
        self._on_device = {}

    def _flatten(self, episodes: Sequence[Episode], names: list[str]) -> np.ndarray:
        """The named arrays of the episodes, joined on the last axis, zero where there are none."""
        arrays = self.layout.step_arrays()
        (*sides, channels), dtype = arrays[names[0]]
        shape = (int(self.lengths.sum()), *sides, channels * len(names))
        flat = _aligned_zeros(shape, dtype)
        for episode, start, length in zip(episodes, self.starts, self.lengths, strict=False):
            for i, name in enumerate(names):
                array, expected = episode.steps[name], (length, *arrays[name][0])
                if array.shape != expected:
                    raise ValueError(
                        f"{episode.source} episode of seed {episode.seed}, key {name!r}: "
                        f"found shape {array.shape}, expected {expected}"
                    )
                for c in range(channels):  # several times faster than all channels at once
                    flat[start : start + length, ..., i * channels + c] = array[..., c]
        return flat

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
        """Frames (n,) at which transitions start, in order: the order of latents."""
        return np.concatenate([self.starts_of(1, True), self.starts_of(1, False)])

    def transition_actions(self) -> np.ndarray:
        """Actions (n, A) of all transitions in order; MIP's labels in place of latents."""
        return self.arrays["action"][self.transition_frames()]

    def nbytes(self, names: Sequence[str]) -> int:
        """Bytes of the named arrays."""
        return sum(self.arrays[name].nbytes for name in names)

    def on_device(self, name: str) -> jax.Array:
        """A named array on the default device; put there once and shared by all feeds."""
        if name not in self._on_device:
            self._on_device[name] = jax.device_put(self.arrays[name])
        return self._on_device[name]

    def free_device(self) -> None:
        """Forgets the device's copies; they are freed once no feed holds them."""
        self._on_device.clear()


def _aligned_zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    # Aligned to 64 bytes, JAX on CPU takes the memory as it is instead of copying it.
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size].view(dtype).reshape(shape)
