"""One train step over all devices of all hosts, each on its rows of the batch.

The mesh has one axis, "data". `over_devices` maps the per-device train step over it from outside:
every device holds the whole state, assembles and differentiates its own rows, and the mean over
"data" makes gradients and metrics those of the whole batch. With one device nothing is mapped.
`over_worlds` shares out simulation, which needs no mean.
"""

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from glam_jax.errors import UserError
from glam_jax.runtime import hosts

AXIS = "data"


class BatchSizeError(UserError, ValueError):
    """A batch that the devices cannot share out evenly."""


def all_devices() -> Mesh:
    """The mesh of all devices of all hosts; a host's devices are neighbours."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), (AXIS,))


def check_batch(name: str, batch: int, accumulate: int = 1, devices: int | None = None) -> None:
    """Checks that each device gets as many rows, in `accumulate` equal pieces.

    Args:
      name: config key of the batch, for the error. batch: B, of all devices together.
      accumulate: pieces of a device's rows. devices: how many; None counts them.

    Raises:
      BatchSizeError: if not; names the nearest batch sizes that do.
    """
    devices = jax.device_count() if devices is None else devices
    if accumulate < 1:
        raise BatchSizeError(f"{name}: found accumulate={accumulate}, expected at least 1")
    pieces = devices * accumulate
    if batch < 1 or batch % pieces:
        below, above = batch // pieces * pieces, (batch // pieces + 1) * pieces
        nearest = f"{below} or {above}" if below > 0 else f"{above}"
        raise BatchSizeError(
            f"{name}: found {batch} rows, expected a multiple of {pieces} "
            f"({devices} devices x {accumulate} accumulated pieces); the nearest: {nearest}"
        )


def host_rows(mesh: Mesh, batch: int) -> np.ndarray:
    """Numbers of the rows of each batch of B that this host's devices compute, in order."""
    pieces = _sharding(mesh, 0).addressable_devices_indices_map((batch,)).values()
    return np.sort(np.concatenate([np.arange(batch)[piece] for piece in pieces]))


def place(tree: Any, row_axis: Any, mesh: Mesh) -> Any:
    """Host or device arrays to global ones.

    Args:
      tree: arrays. What lies by rows holds this host's rows; the rest is the same on all hosts.
      row_axis: prefix tree of axes, along which leaves are cut over devices; -1: copied to each.
    """
    if mesh.size == 1:
        return jax.device_put(tree)

    def put(axis: int, subtree: Any) -> Any:
        return jax.tree.map(functools.partial(_put, _sharding(mesh, axis), axis), subtree)

    return jax.tree.map(put, row_axis, tree)


def local(tree: Any) -> Any:
    """Arrays that every device has a copy of, as arrays on this host's first device alone."""
    if jax.device_count() == 1:
        return tree
    return jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree)


def everywhere() -> jax.sharding.Sharding:
    """Where whole arrays lie between stages: this host's first device, or, with several hosts,
    a copy on each device of all."""
    if jax.process_count() == 1:
        return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return _sharding(all_devices(), -1)


def over_devices(train_step: Any, feed: Any, mesh: Mesh) -> tuple[Any, Any]:
    """The train step mapped over the mesh, and the feed of what this host's devices need for it.

    `train_step(state, fetched, constants, mean)` must take `mean`, and apply it exactly once to
    gradients and metrics. Parameters are the same on all devices and the loss sees a device's own
    rows, so gradients are those of these rows: replication is not tracked through the gradient
    (check_vma), because that would already have summed them over devices, and a mean on top of it
    would be too large by the number of devices.

    Raises:
      BatchSizeError: the feed's batch does not divide.
    """
    if mesh.size == 1:
        return train_step, feed
    check_batch("batch", feed.batch, 1, mesh.size)
    fetched = jax.tree.map(_spec, feed.row_axis)
    mapped = jax.shard_map(
        functools.partial(train_step, mean=functools.partial(jax.lax.pmean, axis_name=AXIS)),
        mesh=mesh,
        in_specs=(PartitionSpec(), fetched, PartitionSpec()),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    return mapped, _PlacedFeed(feed, mesh)


def over_worlds(function: Callable, same: tuple) -> Callable[..., list]:
    """A jitted function of many worlds on all of this host's devices, each with its own worlds.

    Each device runs the very program that a single one would: what becomes of a world does not
    depend on how many devices there are, as long as each has as many worlds. Mapped over a mesh,
    a program is compiled otherwise, and physics differs in the last bit after some steps.

    Args:
      function: function(*same, *worlds); it is compiled for each device, at the same time.
      same: the arguments that are the same for all worlds.

    Returns:
      run(*worlds) -> what `function` returns, for each device in order. `worlds` are host arrays
      with a first axis that the devices divide evenly.
    """
    devices = jax.local_devices()
    if len(devices) == 1:
        return lambda *worlds: [function(*same, *worlds)]
    copies = [jax.device_put(same, device) for device in devices]

    def on_device(copy, device, *worlds):
        return function(*copy, *jax.device_put(worlds, device))

    def run(*worlds):
        pieces = (np.split(array, len(devices)) for array in worlds)
        with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
            return list(pool.map(on_device, copies, devices, *pieces))

    return run


def of_all_hosts(tree: Any) -> Any:
    """Arrays (N, ...) of each host, joined along the first axis in the order of hosts; on each.

    All hosts must call it, with arrays of the same shapes; they wait for each other.
    """
    if jax.process_count() == 1:
        return tree
    hosts.any_host(False)  # collectives give up where one host comes half a minute late
    return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree, tiled=True))


def compiled_together(call: Any) -> Any:
    """A jitted function that all hosts begin to run at the same time, and alone if there is one.

    Hosts compile for unequal times, and on CPU the first exchange between them fails if one comes
    half a minute after the other.
    """
    if jax.process_count() == 1:
        return call
    compiled = []

    def run(*arguments):
        if not compiled:
            compiled.append(call.lower(*arguments).compile())
            hosts.any_host(False)
        return compiled[0](*arguments)

    return run


class _PlacedFeed:
    """A feed's share of this host, as global arrays."""

    def __init__(self, feed: Any, mesh: Mesh):
        self._feed = feed.only(host_rows(mesh, feed.batch))
        self._mesh, self._kept = mesh, None
        self.resident, self.assemble = feed.resident, self._feed.assemble

    def fetch(self, step: int, count: int) -> Any:
        if self._kept is not None:
            return self._kept
        placed = place(self._feed.fetch(step, count), self._feed.row_axis, self._mesh)
        self._kept = placed if self.resident else None
        return placed


def _spec(row_axis: int) -> PartitionSpec:
    return PartitionSpec() if row_axis < 0 else PartitionSpec(*[None] * row_axis, AXIS)


def _sharding(mesh: Mesh, row_axis: int) -> NamedSharding:
    return NamedSharding(mesh, _spec(row_axis))


def _put(sharding: NamedSharding, row_axis: int, array: Any) -> jax.Array:
    if isinstance(array, jax.Array) and array.sharding == sharding:
        return array
    if jax.process_count() == 1:
        return jax.device_put(array, sharding)
    array = np.asarray(array)
    shape = list(array.shape)
    if row_axis >= 0:
        shape[row_axis] *= jax.process_count()
    return jax.make_array_from_process_local_data(sharding, array, tuple(shape))
