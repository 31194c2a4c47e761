"""Checkpoints: the train state with the statistics and the config that it belongs to.

One checkpoint is one folder, `<directory>/<step>`, of four items:

  train        step, parameters and optimizer state
  ema          the averaged parameters, readable without knowing the optimizer
  statistics   normalisation statistics, a nested dict of arrays
  metadata     JSON: the resolved config, seeds, whatever the entry point adds; and a checksum
               of each item above, since a flipped byte in an array passes the format unseen

Writing happens in the background; a folder gets its final name when it is complete, so a
killed run leaves no half-written checkpoint. This is the only module that imports Orbax.
"""

import dataclasses
import errno
import functools
import itertools
import logging as std_logging
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from glam_jax import files
from glam_jax.errors import UserError
from glam_jax.runtime import hosts, sharding
from glam_jax.runtime.optim import TrainState

ARRAYS = ("train", "ema", "statistics")
KEEP = 2  # newest checkpoints that are kept


class CheckpointError(UserError, OSError):
    """A checkpoint could not be written, or none of those found could be read."""


@dataclasses.dataclass(frozen=True)
class Inference:
    """What a policy or a labeller needs of a checkpoint, see `restore_for_inference`.

    Attributes:
      step: number of updates done when it was saved.
      params: the averaged parameters, a nested dict of arrays on the default device.
      statistics: nested dict of numpy arrays.
      metadata: the JSON saved with it.
      checksum: of the parameters.
    """

    step: int
    params: Any
    statistics: dict
    metadata: dict
    checksum: int


def check_place(folder: epath.PathLike) -> None:
    """Raises CheckpointError where Orbax writes no checkpoints: it knows disks and gs://."""
    if str(folder).startswith("s3://"):
        raise CheckpointError(
            errno.ENOTSUP,
            f"{folder}: runs lie on a disk or in gs://, for Orbax writes no checkpoints to s3://; "
            "data may be there",
        )


class Checkpoints:
    """The checkpoints of one training stage.

    Attributes:
      restored_statistics: those of the checkpoint that `restore_latest` gave; empty before.

    Args:
      directory: folder of the stage's checkpoints; made if it does not exist.
      statistics: nested dict of arrays saved with each checkpoint; may be empty.
      metadata: JSON-compatible dict saved with each checkpoint.

    Example:
      with Checkpoints(workdir / "pretrain", statistics=stats, metadata={"config": config}) as c:
          state = c.restore_latest(jax.eval_shape(lambda: state)) or state
          c.save(state)
    """

    def __init__(
        self,
        directory: epath.PathLike,
        *,
        statistics: dict | None = None,
        metadata: dict | None = None,
    ):
        self.directory = files.absolute(directory)
        self._statistics = jax.tree.map(np.asarray, statistics or {})
        self._metadata = metadata or {}
        self.restored_statistics: dict = {}
        self._manager = _open(self.directory, KEEP)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except CheckpointError as second:
            # The first error is the one that stopped the run: it must be the one that is seen.
            logging.error("%s", second)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState) -> None:
        """Starts writing `state` in the background, under its own step.

        The state may be donated as soon as this returns. Does nothing if that step is saved.

        Raises:
          CheckpointError: if this or the write before it failed, for instance on a full disk;
            the checkpoints before it are untouched.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        # Copied on the device: on CPU the writer may hold a view of the very buffers that the
        # next, donated, train step overwrites.
        state = jax.tree.map(jnp.copy, state)
        trees = {"train": _without_ema(state), "ema": state.ema}
        if self._statistics:
            trees["statistics"] = self._statistics
        items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
        checksums = {name: _checksum(tree) for name, tree in trees.items()}
        items["metadata"] = ocp.args.JsonSave({"saved": self._metadata, "checksums": checksums})
        self._guarded(lambda: self._manager.save(step, args=ocp.args.Composite(**items)), step)

    def wait(self) -> None:
        """Returns once everything saved is complete on disk.

        Raises:
          CheckpointError: as in `save`.
        """
        self._guarded(self._manager.wait_until_finished, None)

    def close(self) -> None:
        """Waits for the writes under way and lets go of the folder.

        Raises:
          CheckpointError: as in `save`.
        """
        try:
            self.wait()
        finally:
            self._manager.close()

    def restore_latest(self, abstract_state: TrainState) -> TrainState | None:
        """The newest train state that can be read, or None if there is none at all.

        A checkpoint that cannot be read is reported, passed over for the one before, and
        renamed to `corrupt_<step>` so that training can write that step again.

        Args:
          abstract_state: shapes and dtypes, as `jax.eval_shape` gives them; leaves that carry
            a sharding are restored into it, others to where `sharding.everywhere` says.

        Raises:
          CheckpointError: if there are checkpoints and none of them can be read into
            `abstract_state`; nothing is renamed then.
        """
        read = functools.partial(_read_state, self._manager, abstract_state)
        restored, unreadable = _newest(self.directory, self.steps(), read)
        for step in unreadable:
            with hosts.leader_first():
                folder = self.directory / str(step)
                if folder.exists():
                    files.move(folder, _unused(self.directory / f"corrupt_{step}"))
        if unreadable:
            self._manager.reload()
        if restored is None:
            return None
        state, self.restored_statistics = restored
        return state

    def _guarded(self, write: Callable[[], Any], step: int | None) -> None:
        try:
            write()
        except Exception as error:
            # Whatever failed inside the writer's threads arrives here under many types.
            kept = [s for s in _complete_steps(self.directory) if s != step]
            kept_text = f"the checkpoint of step {max(kept)} is kept" if kept else "none is kept"
            raise CheckpointError(
                getattr(error, "errno", None) or errno.EIO,
                f"could not write a checkpoint to {self.directory} ({kept_text}); "
                f"is the disk full? Found {_brief(error)}",
            ) from error


def restore_for_inference(directory: epath.PathLike) -> Inference:
    """Averaged parameters, statistics and metadata of the newest readable checkpoint.

    Needs no knowledge of the model's or the optimizer's shapes, changes nothing on disk.

    Raises:
      FileNotFoundError: if the folder is missing or holds no checkpoint.
      CheckpointError: if none of its checkpoints can be read.
    """
    directory = files.absolute(directory)
    steps = _complete_steps(directory) if directory.is_dir() else []
    if not steps:
        found = "an existing folder without one" if directory.is_dir() else "no such folder"
        raise FileNotFoundError(
            errno.ENOENT, f"{directory}: found {found}, expected a checkpoint folder"
        )
    manager = _open(directory, keep=None)
    try:
        return _newest(directory, steps, functools.partial(_read_inference, manager))[0]
    finally:
        manager.close()


def _open(directory: epath.Path, keep: int | None) -> ocp.CheckpointManager:
    """Orbax's manager, read-only where `keep` is None; hosts open it together."""
    logging.get_absl_logger().addFilter(_not_from_orbax)
    hosts.any_host(False)  # for Orbax's first exchange between them waits half a minute, on CPU
    handlers = {name: ocp.StandardCheckpointHandler() for name in ARRAYS}
    writes = keep is not None
    return ocp.CheckpointManager(
        directory,
        options=ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=writes, cleanup_tmp_directories=writes, read_only=not writes
        ),
        item_handlers=handlers | {"metadata": ocp.JsonCheckpointHandler()},
    )


def _newest(
    directory: epath.Path, steps: list[int], read: Callable[[int], Any]
) -> tuple[Any, list[int]]:
    """The newest of `steps` that `read` accepts, and the newer ones that it could not read."""
    unreadable, error = [], None
    for step in sorted(steps, reverse=True):
        try:
            result = read(step)
        except Exception as failure:
            error = error or failure
            unreadable.append(step)
            continue
        for bad in unreadable:
            folder = directory / str(bad)
            logging.warning("checkpoint %s is corrupt: %s", folder, _brief(error))
            print(f"Checkpoint {folder} is corrupt: continuing from step {step} instead.")
        return result, unreadable
    if error is None:
        return None, []
    raise CheckpointError(
        errno.EIO,
        f"{directory}: none of the checkpoints {sorted(steps)} can be read as this run's state; "
        f"the newest gave {_brief(error)}",
    ) from error


def _read_state(
    manager: ocp.CheckpointManager, abstract: TrainState, step: int
) -> tuple[TrainState, dict]:
    abstract = jax.tree.map(_placed, abstract)
    items = _restore(manager, step, train=_without_ema(abstract), ema=abstract.ema)
    return TrainState(**items["train"], ema=items["ema"]), items["statistics"]


def _read_inference(manager: ocp.CheckpointManager, step: int) -> Inference:
    # Rebuilt from the shapes on disk, so that a checkpoint of another device can be read here.
    abstract = jax.tree.map(_placed, manager.item_metadata(step)["ema"].tree)
    items = _restore(manager, step, ema=abstract)
    return Inference(
        step,
        sharding.local(items["ema"]),
        items["statistics"],
        items["metadata"]["saved"],
        items["metadata"]["checksums"]["ema"],
    )


def _restore(manager: ocp.CheckpointManager, step: int, **abstract) -> dict:
    """The items of `abstract`, the statistics if there are any, and the metadata as they are on
    disk; checked."""
    args = {name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()}
    stored = manager.restore(step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore()))
    checksums = stored["metadata"]["checksums"]
    if "statistics" in checksums:
        args["statistics"] = ocp.args.StandardRestore()
    restored = manager.restore(step, args=ocp.args.Composite(**args))
    items = {"statistics": {}} | {name: restored[name] for name in args}
    for name in args:
        found = _checksum(items[name])
        if found != checksums[name]:
            raise ValueError(f"{name}: found checksum {found}, expected {checksums[name]}")
    return items | {"metadata": stored["metadata"]}


def _checksum(tree: Any) -> int:
    """CRC-32 over all arrays; this host has its own copy of each."""
    crc = 0
    for leaf in jax.tree.leaves(sharding.local(tree)):
        crc = zlib.crc32(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8), crc)
    return crc


def _placed(leaf) -> jax.ShapeDtypeStruct:
    wanted = getattr(leaf, "sharding", None)
    if not isinstance(wanted, jax.sharding.Sharding):
        wanted = sharding.everywhere()
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=wanted)


def _without_ema(state: TrainState) -> dict:
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}


def last_step(directory: epath.PathLike) -> int:
    """Updates behind the newest complete checkpoint in a folder; 0 where there is none."""
    return max(_complete_steps(directory), default=0)


def _complete_steps(directory: epath.PathLike) -> list[int]:
    """Whole ones: Orbax renames a finished folder on a disk, and marks it in a bucket."""
    found = [place for place in files.find(directory) if place.name.isdigit() and place.is_dir()]
    return sorted(int(place.name) for place in found if ocp.utils.is_checkpoint_finalized(place))


def _unused(path: epath.Path) -> epath.Path:
    """`path`, or the first of `path.1`, `path.2`, ... that does not exist."""
    others = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return next(place for place in itertools.chain([path], others) if not place.exists())


def _brief(error: BaseException) -> str:
    """Type and the end of the first line, where the storage library puts the cause."""
    line = (str(error).strip().splitlines() or [""])[0].split(" [tensorstore_spec")[0]
    return f"{type(error).__name__}: {line if len(line) < 240 else '...' + line[-240:]}"


def _not_from_orbax(record: std_logging.LogRecord) -> bool:
    """Drops Orbax's log: a line per phase of each save, and errors that it raises as well."""
    return "orbax/checkpoint" not in record.pathname
