"""Several hosts, one program: who takes part, who leads, and what needs all of them.

    python -m glam_jax.train --coordinator=10.0.0.1:7711 --processes=2 --process=0 ...

on every host, with its own number; the same by GLAM_COORDINATOR, GLAM_PROCESSES, GLAM_PROCESS;
or --distributed=auto, where JAX finds out by itself (Slurm, Open MPI, TPU pods, Kubernetes).
One that fails says so by `fail`, and one that is killed is missed: in both cases the others end
as well, instead of waiting for it, and a new start of all continues.
"""

import contextlib
import dataclasses
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from absl import flags
from jax._src import distributed

from glam_jax.runtime import rollcall
from glam_jax.runtime.rollcall import HostError

VARIABLES = {name: f"GLAM_{name.upper()}" for name in ("coordinator", "processes", "process")}
# How long hosts wait for the one that collects or writes, seconds. One that died or failed is
# noticed much sooner.
PATIENCE_S = 24 * 3600
# A host is taken for dead after so many seconds without a sign of life, which JAX gives from a
# thread that neither Python nor compilation holds up.
SILENCE_S = 60
# Where a host that fails leaves word, and how often the others look there, seconds.
FAILED, LOOK_S = "glam_jax/failed/", 1.0
# All hosts ask each other the same questions in the same order.
_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Membership:
    """What a process was told of the others.

    Attributes:
      coordinator: HOST:PORT of process 0. processes: N. process: K, 0 to N - 1. All are None
        where JAX is to find out.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def define_flags() -> None:
    """Defines the flags that `join_by_flags` reads; for entry points that train."""
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, to run on several hosts.")
    flags.DEFINE_integer("processes", None, "Number of processes, with --coordinator.")
    flags.DEFINE_integer("process", None, "Number of this process, from 0, with --coordinator.")
    flags.DEFINE_enum("distributed", "by_flags", ["by_flags", "auto"], "auto: JAX finds the hosts.")
    flags.DEFINE_float("host_timeout", 300.0, "Seconds to wait for all hosts to arrive.")
    flags.DEFINE_integer("host_silence", SILENCE_S, "Seconds after which a silent host is dead.")


def join_by_flags() -> None:
    """Joins the hosts that flags or environment variables name, if they do.

    Must come before anything is computed.

    Raises:
      HostError: see `membership` and `join`.
    """
    found = flags.FLAGS
    asked = {name: getattr(found, name) for name in VARIABLES}
    member = Membership() if found.distributed == "auto" else membership(asked, os.environ)
    if member:
        join(member, found.host_timeout, found.host_silence)


def membership(asked: Mapping, environment: Mapping[str, str]) -> Membership | None:
    """What flags say, or where they are None, the environment; None if neither says anything.

    Args:
      asked: values of `coordinator`, `processes`, `process`, or None.
      environment: where `VARIABLES` are looked up.

    Raises:
      HostError: only some are given, or a number is no number or out of range.
    """
    found = {
        name: environment.get(variable) or None if asked[name] is None else asked[name]
        for name, variable in VARIABLES.items()
    }
    if all(value is None for value in found.values()):
        return None
    if missing := [name for name, value in found.items() if value is None]:
        names = " and ".join(f"--{name} (or {VARIABLES[name]})" for name in missing)
        raise HostError(f"to run on several hosts, {names} must be given as well")
    try:
        processes, process = int(found["processes"]), int(found["process"])
    except ValueError as error:
        raise HostError(f"processes and process must be whole numbers: {error}") from None
    if not 0 <= process < processes:
        raise HostError(f"process: found {process}, expected 0 to {processes - 1}")
    rollcall.address(found["coordinator"])
    return Membership(found["coordinator"], processes, process)


def join(member: Membership, timeout_s: float, silence_s: int = SILENCE_S) -> None:
    """Connects this process with the others; afterwards `jax.devices()` are those of all.

    When another process fails or, for `silence_s`, gives no sign of life, this one ends too.

    Raises:
      HostError: a process does not arrive within `timeout_s`, or they disagree.
    """
    if member.coordinator is not None:
        rollcall.call(member.coordinator, member.processes, member.process, timeout_s)
    try:
        jax.distributed.initialize(
            member.coordinator,
            member.processes,
            member.process,
            initialization_timeout=int(timeout_s),
            heartbeat_timeout_seconds=silence_s,
            shutdown_timeout_seconds=PATIENCE_S,
        )
    except (RuntimeError, ValueError) as error:
        raise HostError(f"the hosts could not be connected: {error}") from error
    threading.Thread(target=_watch, name="hosts", daemon=True).start()


def alone() -> bool:
    """Whether this process has joined no others."""
    return _client() is None


def fail(error: BaseException) -> None:
    """Ends this process with status 1, and the others, where there are any; else returns.

    Without it, ending waits for the others to end, and they wait for this one.
    """
    if alone():
        return
    with contextlib.suppress(Exception):
        _repeat_others()  # whose failure may be what led to this one
        word = f"{type(error).__name__}: {error}"
        _client().key_value_set(f"{FAILED}{distributed.global_state.process_id}", word)
    if distributed.global_state.process_id == 0:
        time.sleep(3 * LOOK_S)  # it keeps the notes, which the others must have read
    sys.stderr.flush()
    os._exit(1)


def _watch() -> None:
    """Ends this process once another has left word that it failed."""
    try:
        while not _repeat_others():
            time.sleep(LOOK_S)
    except Exception:  # the run is over, or process 0 is gone, which JAX tells of itself
        return
    os._exit(1)


def _repeat_others() -> bool:
    """Prints what other processes said when they failed; whether any has."""
    own = f"{FAILED}{distributed.global_state.process_id}"
    words = dict(_client().key_value_dir_get(FAILED))
    words.pop(own, None)
    for name, word in words.items():
        message = f"error: process {name.removeprefix(FAILED)} failed, and so must this one: {word}"
        print(message, file=sys.stderr, flush=True)
    return bool(words)


def is_leader() -> bool:
    """Whether this process is the one that writes: process 0."""
    return jax.process_index() == 0


def any_host(value: bool) -> bool:
    """Whether it is true on any host; all must ask alike, and wait for each other."""
    if jax.process_count() == 1:
        return value
    asked = f"glam_jax/asked/{next(_numbers)}/"
    if value:
        _client().key_value_set(f"{asked}{jax.process_index()}", "yes")
    _client().wait_at_barrier(asked, int(PATIENCE_S * 1000))
    return bool(_client().key_value_dir_get(asked))


@contextlib.contextmanager
def leader_first() -> Iterator[None]:
    """Process 0 does what is inside, then the others: they find what it has written.

    Where process 0 fails, the others are told so.

    Raises:
      HostError: on the others, if process 0 failed.
    """
    if jax.process_count() == 1:
        yield
        return
    done = f"glam_jax/done/{next(_numbers)}"
    if not is_leader():
        if _client().blocking_key_value_get(done, int(PATIENCE_S * 1000)) != "well":
            raise HostError("process 0 failed: see what it says")
        yield
        return
    told = "failed"
    try:
        yield
        told = "well"
    finally:
        _client().key_value_set(done, told)


def _client() -> Any:
    """The processes' common notes. JAX has no public door to them, and its collectives on devices
    cannot wait: on CPU they give up after half a minute."""
    return distributed.global_state.client
