"""Episodes to batches: windows for stage 1, chunks for stage 2, and all transitions in order.

A feed draws a batch from a `Store` in two halves, between which the data may cross to the device:

    fetched = feed.fetch(step, count)      on the host, for so many steps from this one on
    batch = feed.assemble(fetched, step)   pure; inside the jitted train step

A resident feed keeps the arrays on the device: `fetch` returns them, and `assemble` draws and
gathers. A streaming feed gathers the batches of some steps on the host, and `assemble` picks one.
Both draw the same rows: which ones is a pure function of (seed, step), so a resumed run sees the
batches that an uninterrupted one would, and there is no position to save.

`feed.only(rows)` reads those rows of the same batches and no others, and `feed.row_axis` says along
which axis `fetched` can be cut into pieces: so several hosts and devices share a batch.

A transition leads from frame t to frame t + 1 of one episode; the last frame of an episode
starts none.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.data import spill
from glam_jax.data.store import Store, pictures, take
from glam_jax.schema import MODALITIES

# --- What a batch is --------------------------------------------------------------------

# The host's and the device's version of each gather are one function, of numpy's or JAX's arrays.


def _windows(arrays: dict, frames_B, time: int, modality: str, side: int) -> dict:
    frames_BT = frames_B[:, None] + np.arange(time, dtype=np.int32)
    batch = {name: take(arrays[name], frames_BT) for name in ("ee_pose", "proprio", "action")}
    return {"image": pictures(arrays[modality], modality, frames_BT, side)} | batch


def _chunks(arrays: dict, frames_B, chunk: int) -> dict:
    last_B1 = take(arrays["last"], frames_B)[:, None]
    frames_BK = frames_B[:, None] + np.arange(chunk, dtype=np.int32)
    held_BK = frames_BK.clip(None, last_B1)
    seen = {"image": "rgb", "ee_pose": "ee_pose", "proprio": "proprio"}
    batch = {name: take(arrays[stored], frames_B) for name, stored in seen.items()}
    names = [name for name in ("label", "action") if name in arrays]
    batch |= {name: take(arrays[name], held_BK) for name in names}
    return batch | {"valid": (frames_BK <= last_B1).astype(np.float32)}


def target_rows(batch: int, target_share: float) -> np.ndarray:
    """Which rows are target rows (B,) bool: round(batch * share) of them, evenly spread.

    Any run of consecutive rows, as a shard of the batch is, holds its share up to one row.

    Raises:
      ValueError: if the share is not in [0, 1].
    """
    if not 0.0 <= target_share <= 1.0:
        raise ValueError(f"target_share is {target_share}, expected a number in [0, 1]")
    count = max(round(batch * target_share), int(target_share > 0))
    return np.diff(np.arange(batch + 1) * count // batch) == 1


# --- Feeds ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Draw:
    """How the rows of batches are drawn, and where the data are.

    Attributes:
      batch: B.
      target_share: fraction of rows from the target source; 1.0 needs no auxiliary episodes.
      seed: of the drawing.
      resident: keep the arrays on the device (see `windows_fit` and `chunks_fit`).
      ahead: most steps whose batches a streaming feed gathers at once.
    """

    batch: int
    target_share: float
    seed: int
    resident: bool
    ahead: int = 1


class Feed:
    """Batches drawn from a store as `draw` says; use `WindowFeed` or `ChunkFeed`.

    `row_axis` is a prefix tree of what `fetch` gives: along which axis rows lie, -1 where there are
    none.

    Args:
      names: arrays of the store that are read. extra: further ones, one row a frame.
      gather: (arrays, first frames (B,)) -> batch. following: frames after the first that it
        reads at least.
    """

    def __init__(
        self,
        store: Store,
        draw: Draw,
        names: Sequence[str],
        gather: Callable[[dict, Any], dict],
        following: int,
        extra: dict[str, np.ndarray] | None = None,
    ):
        self.batch, self.resident, self.ahead = draw.batch, draw.resident, draw.ahead
        self._gather, extra = gather, extra or {}
        self._is_target = target_rows(draw.batch, draw.target_share)
        row_B = np.arange(draw.batch, dtype=np.int32)
        drawing = {"seed": np.uint32(draw.seed % (1 << 32))}
        for kind, rows in (("target", self._is_target), ("auxiliary", ~self._is_target)):
            if rows.any():
                drawing[kind] = _candidates(store, following, kind, draw.target_share)
        if draw.resident:
            self.row_axis = {"data": -1, "drawing": -1, "row": 0}
            data = {name: store.on_device(name) for name in names} | jax.device_put(extra)
            self._fetched = jax.device_put({"data": data, "drawing": drawing, "row": row_B})
        else:
            self.row_axis = {"batches": 1, "first": -1, "row": 0}
            self._data = {name: store.arrays[name] for name in names} | extra
            self._host = _host_device()
            self._drawing, self._row_B = jax.device_put(drawing, self._host), row_B
            self._draw_on_host = jax.jit(jax.vmap(self._draw, in_axes=(None, 0)))

    def only(self, rows: np.ndarray) -> "Feed":
        """This feed, fetching no other rows of each batch than those of these numbers."""
        feed = copy.copy(self)
        if self.resident:
            feed._fetched = {**self._fetched, "row": jax.device_put(rows.astype(np.int32))}
        else:
            feed._row_B = rows.astype(np.int32)
        return feed

    def _draw(self, drawing: dict, step) -> jax.Array:
        """Start frames (B,) of the rows of a step; each kind of row draws from its own key.

        Seed, candidates and their number are arguments of the compiled program, not constants.
        """
        # The generator is named because it must not follow a global option: host and device
        # have to draw alike.
        key = jax.random.fold_in(jax.random.key(drawing["seed"], impl="threefry2x32"), step)
        drawn, rows = [], []
        for i, kind in enumerate(sorted(drawing.keys() - {"seed"})):
            starts, count, cumulative = drawing[kind]
            rows.append(np.flatnonzero(self._is_target == (kind == "target")))
            shape, own_key = (len(rows[-1]),), jax.random.fold_in(key, i)
            if cumulative is None:
                index = jax.random.randint(own_key, shape, 0, count)
            else:
                index = jnp.searchsorted(cumulative, jax.random.uniform(own_key, shape), "right")
                index = jnp.minimum(index, count - 1)
            drawn.append(starts[index])
        return jnp.concatenate(drawn)[np.argsort(np.concatenate(rows))]

    def fetch(self, step: int, count: int = 1):
        """What `assemble` needs for the batches of `count` steps: on the device, or still on the
        host, where it is a stack of `ahead` batches, the last ones empty.

        Raises:
          ValueError: more steps than `ahead`, of a streaming feed.
        """
        if self.resident:
            return self._fetched
        if count > self.ahead:
            raise ValueError(f"found {count} steps, expected at most {self.ahead} at once")
        steps = jax.device_put(np.arange(step, step + self.ahead, dtype=np.int32), self._host)
        frames_NxB = jax.device_get(self._draw_on_host(self._drawing, steps))[:count, self._row_B]
        stacks = {}
        for index, frames_B in enumerate(frames_NxB):
            for name, rows in self._gather(self._data, frames_B).items():
                if name not in stacks:
                    stacks[name] = spill.zeros((self.ahead, *rows.shape), rows.dtype)
                stacks[name][index] = rows
        return {"batches": stacks, "first": np.int32(step), "row": self._row_B}

    def assemble(self, fetched, step) -> dict[str, jax.Array]:
        """The batch of a step from what was fetched for it. Pure; made to be jitted."""
        row_B = fetched["row"]
        if self.resident:
            frames = take(self._draw(fetched["drawing"], step), row_B)
            batch = self._gather(fetched["data"], frames)
        else:
            pick = functools.partial(jax.lax.dynamic_index_in_dim, axis=0, keepdims=False)
            index = step - fetched["first"]
            batch = {name: pick(stack, index) for name, stack in fetched["batches"].items()}
        is_target = take(jnp.asarray(self._is_target, jnp.float32), row_B)
        return batch | {"is_target": is_target, "row": row_B}


def _host_device():
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # no CPU among JAX_PLATFORMS: any device draws the same rows
        return jax.local_devices()[0]


def _candidates(store: Store, following: int, kind: str, share: float) -> tuple:
    """Frames that a kind's rows may start at, their number, and their cumulative probabilities, if
    unequal; the arrays padded with what is never drawn."""
    target = kind == "target"
    lengths = store.lengths[: store.targets] if target else store.lengths[store.targets :]
    if not len(lengths):
        raise ValueError(f"target_share is {share}, but the store has no {kind} episodes")
    if (short := lengths < following + 1).any():
        index = int(np.flatnonzero(short)[0])
        raise ValueError(
            f"{kind} episode {index} has {lengths[index]} frames, fewer than a window's "
            f"{following + 1}; {int(short.sum())} of {len(lengths)} are too short"
        )
    starts, cumulative = store.starts_of(following, target), store.cumulative_of(following, target)
    more = (0, spill.padded(len(starts)) - len(starts))
    if cumulative is not None:
        cumulative = np.pad(cumulative, more, constant_values=2.0)
    return np.pad(starts, more), np.int32(len(starts)), cumulative


class WindowFeed(Feed):
    """Stage 1 batches of windows (`schema.window_batch_shapes`).

    Every window of every episode of a kind of source is equally likely, or as the store's
    weights say.

    Args:
      store: the data.
      draw: how B rows are drawn.
      time: T >= 2 consecutive frames of one episode in a row.
      modality: what `image` holds, "rgb" (V, H, W, 3) or "mask" (V, H, W, 1) of 0 and 1.

    Raises:
      ValueError: for an episode shorter than T, a share without episodes, an unknown modality.
    """

    def __init__(self, store: Store, draw: Draw, time: int, modality: str):
        side = store.layout.image_size
        gather = functools.partial(_windows, time=time, modality=modality, side=side)
        super().__init__(store, draw, _window_names(modality), gather, time - 1)


class ChunkFeed(Feed):
    """Stage 2 batches of observations and the K transitions after them
    (`schema.chunk_batch_shapes`).

    Every frame with a transition is equally likely as an observation.

    Args:
      store: the data; needs "rgb".
      draw: how B rows are drawn.
      labels: (n, D) float32, what is predicted of each transition, in the order of
        `Store.transition_frames`.
      chunk: K transitions in a row, padded at the episode's end.

    Raises:
      ValueError: for a share without episodes.
    """

    def __init__(self, store: Store, draw: Draw, labels: np.ndarray, chunk: int):
        gather = functools.partial(_chunks, chunk=chunk)
        extra = {"label": _per_frame(store, labels)}
        super().__init__(store, draw, _CHUNK_NAMES, gather, 1, extra)


_CHUNK_NAMES = ("rgb", "ee_pose", "proprio", "action", "last")


def _window_names(modality: str) -> tuple[str, ...]:
    if modality not in MODALITIES:
        raise ValueError(f"unknown modality {modality!r}, known: {list(MODALITIES)}")
    return (modality, "ee_pose", "proprio", "action")


def _per_frame(store: Store, labels: np.ndarray) -> np.ndarray:
    frames = store.transition_frames()
    chex.assert_shape(labels, (len(frames), None))
    rows = spill.padded(len(store.arrays["last"]))
    per_frame = np.zeros((rows, labels.shape[1]), np.float32)
    per_frame[frames] = labels
    return per_frame


def windows_fit(store: Store, modality: str) -> bool:
    """Whether a `WindowFeed` can be resident."""
    return store.in_memory(_window_names(modality))


def chunks_fit(store: Store) -> bool:
    """Whether a `ChunkFeed` can be resident."""
    return store.in_memory(_CHUNK_NAMES)


# --- In order ---------------------------------------------------------------------------


def transition_batches(store: Store, batch: int, modality: str) -> Iterator[dict[str, np.ndarray]]:
    """All transitions of a store in order, as windows of two frames.

    Yields batches of one size, as of `WindowFeed` with T = 2, and `real` (B,) float32: 0 on
    the rows that pad the last batch by repeating the last transition. Relabelling keeps the
    rows with `real` and so gets latents in the order that `ChunkFeed` takes.
    """
    side = store.layout.image_size
    gather = functools.partial(_windows, time=2, modality=modality, side=side)
    return _in_order(store, batch, _window_names(modality), gather)


def chunk_batches(store: Store, batch: int, chunk: int) -> Iterator[dict[str, np.ndarray]]:
    """All observations with the K actions after them in order, and `real` (B,): batches as of
    `ChunkFeed`, without labels."""
    return _in_order(store, batch, _CHUNK_NAMES, functools.partial(_chunks, chunk=chunk))


def _in_order(
    store: Store, batch: int, names: Sequence[str], gather: Callable
) -> Iterator[dict[str, np.ndarray]]:
    arrays, frames = {name: store.arrays[name] for name in names}, store.transition_frames()
    first_auxiliary = store.starts[store.targets] if store.targets < len(store.starts) else None
    for at in range(0, len(frames), batch):
        rows = frames[np.minimum(np.arange(at, at + batch), len(frames) - 1)]
        is_target = np.ones(batch, bool) if first_auxiliary is None else rows < first_auxiliary
        real = np.arange(at, at + batch) < len(frames)
        flags = {"is_target": is_target.astype(np.float32), "real": real.astype(np.float32)}
        yield gather(arrays, rows) | flags
