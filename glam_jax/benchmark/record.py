"""Results of a benchmark on disk: one JSON file, and how one measurement is written in it."""

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.benchmark.case import BenchmarkError, Case, Work
from glam_jax.benchmark.clock import Timing

FORMAT = 1


def row(case: Case, work: Work, timing: Timing, ceilings: dict) -> dict:
    """One measurement.

    Args:
      timing: of calls of `work`, beside the fixed computation.
      ceilings: what shares are of, see `ceilings.measure`.

    Returns:
      name, unit; `per_second`, units per second; `seconds` of a call and `ratio`, each with
      median, quartiles and all repeats: time of a unit over that of the fixed computation beside
      it, lower is better; of a pair, over a call of the rival, and `beside`: `times`, how many
      times as fast as the rival, its `bar` and whether that is `reached`; and, where they can be
      counted, `flops` and `bytes` of a call, `flops_at_least` where the first is a lower bound,
      and the shares of the ceilings that are reached.
    """
    once = float(np.median(timing.seconds))
    found = {
        "name": case.name,
        "unit": case.unit,
        "items": case.items,
        "per_second": case.items / once,
        "seconds": _spread(timing.seconds),
        "ratio": _spread(tuple(ratio / case.items for ratio in timing.ratios)),
        "reference_seconds": float(np.median(timing.reference)),
    }
    if work.rival:
        times = _spread(tuple(1.0 / ratio for ratio in timing.ratios))
        found["beside"] = {"times": times, "bar": work.bar}
        found["beside"] |= {"reached": times["median"] >= work.bar} if work.bar else {}
    if work.cost:
        found |= {
            "flops": work.cost.flops,
            "flops_at_least": work.cost.at_least,
            "bytes": work.cost.bytes,
            "dtype": work.dtype,
            "flops_share": work.cost.flops / once / ceilings["flops_per_s"][work.dtype],
            "bytes_share": work.cost.bytes / once / ceilings["bytes_per_s"],
        }
    return found


def _spread(values: tuple[float, ...]) -> dict:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return {"median": median, "quartiles": [low, high], "repeats": list(values)}


def failed(case: Case, why: str) -> dict:
    """A measurement that could not be made on this machine."""
    return {"name": case.name, "unit": case.unit, "items": case.items, "error": why}


def read(path: epath.PathLike) -> dict:
    """Results that a benchmark wrote.

    Raises:
      FileNotFoundError: there is no such file. DataError: it is not JSON.
      BenchmarkError: it is not of a benchmark, or of another format.
    """
    found = files.read_json(path)
    keys = {"format", "machine", "measurements"}
    if not isinstance(found, dict) or (missing := keys - found.keys()):
        lacks = ", ".join(sorted(missing)) if isinstance(found, dict) else "everything"
        raise BenchmarkError(f"{path} is no benchmark's results: it lacks {lacks}")
    if found["format"] != FORMAT:
        raise BenchmarkError(
            f"{path}: format is {found['format']}, expected {FORMAT}; measure it again"
        )
    return found
