"""Claims: several jobs share one folder of work, and no piece is done by two of them.

A claim on NAME is a file `NAME.1.claim`, made with O_EXCL, so that of several jobs one gets it.
It says who holds it (host, process) and its modification time says when the holder was last seen:
a thread touches it every `BEAT` seconds. The file goes when the holder lets go.

A holder that was killed leaves its file. Another job takes over by making the next one,
`NAME.2.claim`, again with O_EXCL; whoever holds the highest number holds the claim. It may do so if

  - the holder ran on this host and its process is gone: at once;
  - the holder ran elsewhere and was not seen for `STALE` seconds, by the clock of the file system:
    the clocks of the hosts need not agree.

A process that merely slept that long finds, when it wakes, that it no longer holds the claim. It is
then sent SIGTERM, on which training saves and stops.

Whoever claims looks only then whether the work is still to be done: it may just have been finished.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

BEAT, STALE = 30.0, 600.0  # seconds


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds a claim: a process of a host, told from a later one of the same number by when it
    was started."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split('/')[0]}"


def this_process() -> Holder:
    """The holder that this process is."""
    return Holder(_host(), os.getpid(), _started(os.getpid()))


class Claim:
    """A claim that this process holds, as a context manager; it ends on leaving.

    Made by `claim`.
    """

    def __init__(self, path: pathlib.Path, beat: float, on_loss: Callable[[], None]):
        self._path = path
        self._finished = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, args=(beat, on_loss), daemon=True)

    def __enter__(self) -> "Claim":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        folder, name = _split(self._path)
        for path in _files(folder, name) if self._finished else [self._path]:
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Says that the work is done: leaving also removes what killed holders left."""
        self._finished = True

    def _keep(self, beat: float, on_loss: Callable[[], None]) -> None:
        while not self._stop.wait(beat):
            with contextlib.suppress(OSError):  # a file system may fail for a moment
                if _newest(*_split(self._path)) != self._path:
                    on_loss()
                    return
                os.utime(self._path)


def claim(
    folder: str | pathlib.Path,
    name: str,
    *,
    beat: float = BEAT,
    stale: float = STALE,
    on_loss: Callable[[], None] | None = None,
) -> Claim | None:
    """Claims a piece of work, or returns None if another process holds it.

    Args:
      folder: where the claims of a study are; made if it does not exist.
      name: of the piece of work.
      beat, stale: see the module.
      on_loss: called in another thread when the claim was taken over; default: SIGTERM.

    Example:
      held = claim(folder, "lifting_mip_seed0")
      if held:
          with held:
              ...
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    newest = _newest(folder, name)
    if newest is not None and not _abandoned(newest, stale):
        return None
    number = _number(newest) + 1 if newest else 1
    path = folder / f"{name}.{number}.claim"
    try:
        with path.open("x") as file:
            json.dump(dataclasses.asdict(this_process()), file)
    except FileExistsError:
        return None
    return Claim(path, beat, on_loss or _terminate)


@contextlib.contextmanager
def waiting(
    folder: str | pathlib.Path, name: str, poll: float = 5.0, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Holds a claim inside, after waiting until it is free; says once whom it waits for."""
    said = False
    while (held := claim(folder, name)) is None:
        if not said:
            say(f"waiting for {name}, which {holder(folder, name) or 'another process'} works on")
            said = True
        time.sleep(poll)
    with held:
        yield


def holder(folder: str | pathlib.Path, name: str) -> Holder | None:
    """Who holds a claim; None if nobody does, or it is not written yet."""
    newest = _newest(pathlib.Path(folder), name)
    return _read(newest) if newest else None


def _split(path: pathlib.Path) -> tuple[pathlib.Path, str]:
    return path.parent, path.name.rsplit(".", 2)[0]


def _number(path: pathlib.Path) -> int:
    return int(path.name.rsplit(".", 2)[1])


def _newest(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    return max(_files(folder, name), key=_number, default=None)


def _files(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    return [path for path in folder.glob(f"{name}.*.claim") if _split(path)[1] == name]


def _read(path: pathlib.Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # its holder is just writing it, or letting go


def _abandoned(path: pathlib.Path, stale: float) -> bool:
    """Whether a claim's holder is gone."""
    found = _read(path)
    if found and found.host == _host():
        return not _alive(found)
    try:
        return _now(path.parent) - path.stat().st_mtime > stale
    except FileNotFoundError:
        return False  # just let go: the next look finds none


def _alive(found: Holder) -> bool:
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _started(found.pid) == found.started


def _now(folder: pathlib.Path) -> float:
    """The time by the clock that dates the files of a folder."""
    probe = folder / f".clock_{socket.gethostname()}_{os.getpid()}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now


def _host() -> str:
    """This host; containers that share its name have process numbers of their own."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _started(pid: int) -> str:
    """When a process was started, in ticks since the host's own start; "" if not to be known."""
    try:
        # The name, in parentheses, may hold blanks; the 20th field behind it is the start.
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return text.rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
