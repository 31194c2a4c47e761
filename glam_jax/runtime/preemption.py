"""Being asked to stop: by a scheduler that wants its machine back, or by Ctrl-C."""

import signal

# How its message begins; launch/tpu_worker.sh looks for it in the output of a run.
STOPPED = "stopped on request"


class Preempted(Exception):
    """The run was asked to stop, and has saved; starting it again continues it.

    An entry point prints it and exits with status 0.
    """


class Preemption:
    """While entered, SIGTERM and the first SIGINT set `requested` instead of killing.

    Whoever runs long checks `requested` between two steps of its work. A second SIGINT
    interrupts at once. Must be entered in the main thread.

    Example:
      with Preemption() as preemption:
          while not preemption.requested:
              ...
    """

    def __init__(self):
        self.requested = False

    def __enter__(self) -> "Preemption":
        kinds = (signal.SIGTERM, signal.SIGINT)
        self._before = {kind: signal.signal(kind, self._ask) for kind in kinds}
        return self

    def __exit__(self, *_) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)

    def _ask(self, kind: int, _) -> None:
        self.requested = True
        if kind == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
