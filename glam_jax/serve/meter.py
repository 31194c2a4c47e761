"""What a server counts: requests, refusals, clipped entries, latencies."""

import collections
import threading

import numpy as np

KEPT = 10_000  # latest requests whose latency the percentiles are of
PERCENTILES = (50, 90, 99)


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
