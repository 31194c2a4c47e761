"""Do all hosts arrive? Asked before JAX connects them, which ends the process if one does not.

Process 0 listens where JAX's coordinator will, the others report there, and all learn together
that everybody has come, or who has not.
"""

import contextlib
import json
import socket
import time

from glam_jax.errors import UserError


class HostError(UserError, RuntimeError):
    """Hosts that do not come together: one is missing, or they disagree on who they are."""


ADVICE = (
    "Is it running, with the same coordinator and number of processes, and does no firewall keep "
    "it from that port? A start that takes long can be given a longer --host_timeout"
)
# Seconds between attempts to reach a process 0 that does not listen yet.
RETRY_S = 0.2


def call(coordinator: str, processes: int, process: int, timeout_s: float) -> None:
    """Returns once all processes have called it.

    Args:
      coordinator: HOST:PORT of process 0. processes: how many. process: which one this is.
      timeout_s: how long to wait for the others.

    Raises:
      HostError: not all came in time; names the missing ones where process 0 is reached, and
        process 0 where it is not. Or two say that they are the same, or their numbers differ.
    """
    host, port = address(coordinator)
    deadline = time.monotonic() + timeout_s
    if process == 0:
        _gather(host, port, processes, timeout_s, deadline)
    else:
        _report(host, port, processes, process, timeout_s, deadline)


def address(coordinator: str) -> tuple[str, int]:
    """HOST:PORT as (host, port).

    Raises:
      HostError: it is not of that form.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise HostError(f"coordinator: found {coordinator!r}, expected HOST:PORT of process 0")
    return host.strip("[]"), int(port)


def _gather(host: str, port: int, processes: int, timeout_s: float, deadline: float) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(port))
        arrived: dict[int, socket.socket] = {}
        problem = None
        while problem is None and len(arrived) < processes - 1:
            listener.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection = stack.enter_context(listener.accept()[0])
            except TimeoutError:
                problem = _missing(arrived, host, port, processes, timeout_s)
                break
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                problem = _admit(connection, arrived, processes)
        for connection in arrived.values():
            # They hang up first, so that no port stays half-closed for the coordinator to follow.
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps({"problem": problem}).encode() + b"\n")
                connection.settimeout(5.0)
                connection.recv(1)
        if problem:
            raise HostError(problem)


def _listen(port: int) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, backlog=128, dualstack_ipv6=both)
    except OSError as error:
        raise HostError(
            f"process 0 cannot listen on port {port} ({error.strerror}); choose another port in "
            "--coordinator"
        ) from error


def _admit(connection: socket.socket, arrived: dict, processes: int) -> str | None:
    """Notes who has come; returns what is wrong with it, if anything."""
    connection.settimeout(5.0)
    told = json.loads(_line(connection))
    process, count = int(told["process"]), int(told["processes"])
    twice = process in arrived or not 0 < process < processes
    arrived[process if not twice else -len(arrived) - 1] = connection
    if count != processes:
        return f"processes: process 0 was told {processes}, process {process} {count}"
    if twice:
        return f"process: {process} was given to two, or is not from 1 to {processes - 1}"
    return None


def _missing(arrived: dict, host: str, port: int, processes: int, timeout_s: float) -> str:
    names = ", ".join(str(k) for k in range(1, processes) if k not in arrived)
    return (
        f"{processes - 1 - len(arrived)} of {processes} processes did not report to process 0 at "
        f"{host}:{port} within {timeout_s:g} s; missing: process {names}. {ADVICE}"
    )


def _report(
    host: str, port: int, processes: int, process: int, timeout_s: float, deadline: float
) -> None:
    told = json.dumps({"process": process, "processes": processes}).encode() + b"\n"
    while True:
        try:
            with socket.create_connection((host, port), timeout=5.0) as connection:
                connection.sendall(told)
                # Process 0 began to wait later, perhaps: it is the one to say who is missing.
                connection.settimeout(timeout_s + 5.0)
                problem = json.loads(_line(connection))["problem"]
            break
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise HostError(
                    f"process {process} of {processes} did not reach process 0 at {host}:{port} "
                    f"within {timeout_s:g} s ({error}). {ADVICE}"
                ) from error
            time.sleep(RETRY_S)
    if problem:
        raise HostError(problem)


def _line(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        part = connection.recv(4096)
        if not part:
            raise ConnectionError("the connection was closed")
        found += part
    return found
