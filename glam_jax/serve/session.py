"""One client's session: bytes in, bytes out, and what must be remembered between them."""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
from absl import logging

from glam_jax.client import wire
from glam_jax.serve import border
from glam_jax.serve.actions import Ensemble, Receding
from glam_jax.serve.limits import Limits

KEPT = 10_000  # latest requests whose latency the percentiles are of
PERCENTILES = (50, 90, 99)
# Names that a message may have beside the observation.
RESET, EXECUTED = "reset", "executed"


class Meter:
    """Counts of one server; safe to read while it is written."""

    def __init__(self):
        self._lock = threading.Lock()
        self._served = 0
        self._counts = {"refused": collections.Counter(), "clipped": collections.Counter()}
        self._latency = collections.deque(maxlen=KEPT)

    def served(self, latency_ms: float, clipped: dict[str, int]) -> None:
        """A reply left, `latency_ms` after its request had come in."""
        with self._lock:
            self._served += 1
            self._latency.append(latency_ms)
            self._counts["clipped"].update(clipped)

    def refused(self, kind: str) -> None:
        """A request was answered with an error: `message`, `observation`, `token`, ..."""
        with self._lock:
            self._counts["refused"][kind] += 1

    def read(self) -> dict:
        """`served`, `refused` and `clipped` (entries) by kind, `latency_ms` by percentile."""
        with self._lock:
            latency = np.array(self._latency)
            found = {"served": self._served}
            found |= {name: dict(counts) for name, counts in self._counts.items()}
        if not len(latency):
            return found | {"latency_ms": {}}
        marks = np.percentile(latency, PERCENTILES)
        named = {f"p{p}": round(float(m), 3) for p, m in zip(PERCENTILES, marks, strict=True)}
        return found | {"latency_ms": named | {"max": round(float(latency.max()), 3)}}


@dataclasses.dataclass(frozen=True)
class Service:
    """What all sessions of a server share.

    Attributes:
      read: what a client sent, name -> array, checked -> the observation that the policy takes.
        Raises ObservationError.
      policy: such an observation -> action chunk (K, A), as the client receives it.
      measured: the observation -> (A,) where the robot is, laid out as actions are; None where it
        does not say.
      limits: what actions are kept within.
      make_execution: a fresh `Receding` or `Ensemble`.
      forget_s: seconds after which the last command no longer says where the arm is going.
      metadata: the first message to every client.
      meter: counts and latencies.
    """

    read: Callable[[dict], dict[str, np.ndarray]]
    policy: Callable[[dict[str, np.ndarray]], np.ndarray]
    measured: Callable[[dict[str, np.ndarray]], np.ndarray | None]
    limits: Limits
    make_execution: Callable[[], Receding | Ensemble]
    forget_s: float
    metadata: dict
    meter: Meter = dataclasses.field(default_factory=Meter)


class PolicyFailure(RuntimeError):
    """The policy gave no finite actions."""


class Session:
    """Answers one client's messages in order; sessions do not see each other."""

    def __init__(self, service: Service):
        self._service = service
        self._execution = service.make_execution()
        self._sent: np.ndarray | None = None  # (n, A) of the last reply
        self._before: np.ndarray | None = None  # (A,) that it started from
        self._sent_at = 0.0

    def answer(self, message: bytes | str, arrived: float) -> bytes | str:
        """The reply to one message: msgpack, or text that says why it was refused.

        Args:
          message: msgpack of an observation, with `reset` and `executed` if need be.
          arrived: when it came in, `time.perf_counter`.
        """
        meter = self._service.meter
        try:
            return self._answer(message, arrived)
        except wire.WireError as error:
            meter.refused("message")
            return f"message refused: {error}"
        except border.ObservationError as error:
            meter.refused("observation")
            return f"observation refused: {error}"
        except PolicyFailure as error:
            meter.refused("policy")
            logging.error("%s", error)
            return f"no actions: {error}"
        except Exception:  # A fault of ours must not end the other clients' sessions.
            meter.refused("internal")
            logging.exception("a request failed")
            return "internal error; the server's log says more"

    def _answer(self, message: bytes | str, arrived: float) -> bytes:
        began = time.perf_counter()
        if isinstance(message, str):
            raise wire.WireError("found text; expected msgpack in a binary message")
        observation, reset, executed = self._open(wire.unpack(message))
        service = self._service
        seen = service.read(observation)
        if reset or arrived - self._sent_at > service.forget_s:
            self._execution.reset()
            self._sent = self._before = None
        before = self._command_in_force(executed, service.measured(seen))
        chunk = np.asarray(service.policy(seen))
        if not np.isfinite(chunk).all():
            raise PolicyFailure("the policy's actions are not finite")
        actions, clipped = service.limits.apply(self._execution.actions(chunk), before)
        self._sent, self._before, self._sent_at = actions, before, time.perf_counter()
        timing = {"infer_ms": 1e3 * (self._sent_at - began), "wait_ms": 1e3 * (began - arrived)}
        reply = wire.pack({"actions": actions, "clipped": clipped, "server_timing": timing})
        service.meter.served(1e3 * (time.perf_counter() - arrived), clipped)
        return reply

    def _open(self, message) -> tuple[dict, bool, int | None]:
        """Observation, reset and executed of a message."""
        if not isinstance(message, dict):
            raise wire.WireError(f"found {type(message).__name__}; expected names and arrays")
        for name, value in message.items():
            # Before anything is made of it: numpy would make much of little, such as of texts.
            if not wire.is_flat(value):
                raise wire.WireError(
                    f"{wire.shown(name)}: found {wire.shown(value)}; expected an array, a number, "
                    "a text, or a list of numbers"
                )
        observation = dict(message)
        reset, executed = observation.pop(RESET, False), observation.pop(EXECUTED, None)
        if not isinstance(reset, (bool, np.bool_)):
            raise border.ObservationError(
                f"{RESET}: found {wire.shown(reset)}; expected true or false"
            )
        known = 0 if self._sent is None else len(self._sent)
        whole = isinstance(executed, (int, np.integer)) and not isinstance(executed, bool)
        if executed is not None and not reset and not (whole and 0 <= executed <= known):
            raise border.ObservationError(
                f"{EXECUTED}: found {wire.shown(executed)}; expected 0 to {known}, "
                "of the last reply"
            )
        return observation, bool(reset), executed

    def _command_in_force(
        self, executed: int | None, measured: np.ndarray | None
    ) -> np.ndarray | None:
        """(A,) that the first new action is a step away from; see `Limits.apply`.

        The last command carried out: a servo lags behind its commands, so that measured joints
        would slow it down. Measured joints where there is none.
        """
        if self._sent is None or executed == 0:
            return self._before if measured is None else measured
        return self._sent[-1 if executed is None else executed - 1]
