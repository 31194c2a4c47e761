"""Do all hosts arrive? Asked before JAX connects them: where one is missing, JAX aborts the others
with a trace of C++ that does not say which.

Process 0 listens where JAX's coordinator will. Each other process sends it one line, "K of N", and
is answered by one line, which is empty once all have come, and else says what is wrong.
"""

import contextlib
import socket
import time

from glam_jax.errors import UserError


class HostError(UserError, RuntimeError):
    """Hosts that do not come together: one is missing, or they disagree on who they are."""


ADVICE = (
    "Is it running, with the same coordinator and number of processes, and does no firewall keep "
    "it from that port? A start that takes long can be given a longer --host_timeout"
)
# Seconds between attempts to reach a process 0 that does not listen yet, and for one line to come.
RETRY_S, LINE_S = 0.2, 5.0


def call(coordinator: str, processes: int, process: int, timeout_s: float) -> None:
    """Returns once all processes have called it.

    Args:
      coordinator: HOST:PORT of process 0. processes: how many. process: which one this is.
      timeout_s: how long to wait for the others.

    Raises:
      HostError: not all came in time; names the missing ones where process 0 is reached, and
        process 0 where it is not. Or two say that they are the same, or their numbers differ.
    """
    if process == 0:
        problem = _gather(coordinator, processes, timeout_s)
    else:
        problem = _report(coordinator, processes, process, timeout_s)
    if problem:
        raise HostError(problem)


def address(coordinator: str) -> tuple[str, int]:
    """HOST:PORT as (host, port).

    Raises:
      HostError: it is not of that form.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise HostError(f"coordinator: found {coordinator!r}, expected HOST:PORT of process 0")
    return host.strip("[]"), int(port)


def _gather(coordinator: str, processes: int, timeout_s: float) -> str:
    """Waits at process 0 for the others and answers them; what is wrong, "" for nothing."""
    deadline = time.monotonic() + timeout_s
    missing, lines, problem = set(range(1, processes)), [], ""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(address(coordinator)[1]))
        while missing and not problem:
            listener.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection = stack.enter_context(listener.accept()[0])
            except TimeoutError:
                problem = (
                    f"{len(missing)} of {processes} processes did not report to process 0 at "
                    f"{coordinator} within {timeout_s:g} s; missing: process "
                    f"{', '.join(map(str, sorted(missing)))}. {ADVICE}"
                )
                break
            with contextlib.suppress(OSError, ValueError):  # a stranger, or one that died
                connection.settimeout(LINE_S)
                line = stack.enter_context(connection.makefile())
                process, count = map(int, line.readline().split(" of "))
                lines.append((connection, line))
                if count != processes:
                    problem = (
                        f"processes: process 0 was told {processes}, process {process} {count}"
                    )
                elif process not in missing:
                    problem = f"process: {process} was given to two, or is not below {processes}"
                missing.discard(process)
        for connection, line in lines:
            with contextlib.suppress(OSError, ValueError):
                connection.sendall(f"{problem}\n".encode())
                line.read(1)  # they hang up first, so that the port is free for JAX at once
    return problem


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


def _report(coordinator: str, processes: int, process: int, timeout_s: float) -> str:
    """Reports to process 0 as soon as that listens; what it answers."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with socket.create_connection(address(coordinator), timeout=LINE_S) as connection:
                connection.sendall(f"{process} of {processes}\n".encode())
                # Process 0 began to wait later, perhaps: it is the one to say who is missing.
                connection.settimeout(timeout_s + LINE_S)
                with connection.makefile() as lines:
                    if (answer := lines.readline()).endswith("\n"):
                        return answer.strip()
                why = "the connection was closed"
        except (OSError, ValueError) as error:
            why = error
        if time.monotonic() > deadline:
            return (
                f"process {process} of {processes} did not reach process 0 at {coordinator} "
                f"within {timeout_s:g} s ({why}). {ADVICE}"
            )
        time.sleep(RETRY_S)
