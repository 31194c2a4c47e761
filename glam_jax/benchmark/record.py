"""Results of a benchmark on disk: one JSON file, and how one measurement is written in it."""

from etils import epath

from glam_jax import files
from glam_jax.benchmark.case import BenchmarkError, Case, Work
from glam_jax.benchmark.ceilings import Ceilings
from glam_jax.benchmark.clock import Timing, median, quartiles
from glam_jax.errors import DataError

FORMAT = 1


def row(case: Case, work: Work, timing: Timing, ceilings: Ceilings) -> dict:
    """One measurement.

    Args:
      timing: of calls of `work`, beside the fixed computation.
      ceilings: what shares are of.

    Returns:
      name, unit; `per_second`, units per second; `seconds` of a call and `ratio`, each with
      median, quartiles and all repeats: time of a unit over that of the fixed computation beside
      it, lower is better; of a pair, over a call of the rival, and `beside`: `times`, how many
      times as fast as the rival, its `bar` and whether that is `reached`; and, where they can be
      counted, `flops` and `bytes` of a call, `flops_at_least` where the first is a lower bound,
      and the shares of the ceilings that are reached.
    """
    once = median(timing.seconds)
    found = {
        "name": case.name,
        "unit": case.unit,
        "items": case.items,
        "per_second": case.items / once,
        "seconds": _spread(timing.seconds),
        "ratio": _spread(tuple(ratio / case.items for ratio in timing.ratios)),
        "reference_seconds": median(timing.reference),
    }
    if work.rival:
        times, bar = tuple(1.0 / ratio for ratio in timing.ratios), work.rival.bar
        found["beside"] = {"times": _spread(times), "bar": bar}
        found["beside"] |= {"reached": median(times) >= bar} if bar else {}
    if work.cost:
        ceiling = ceilings.flops_per_s[work.dtype]
        found |= {
            "flops": work.cost.flops,
            "flops_at_least": work.cost.at_least,
            "bytes": work.cost.bytes,
            "dtype": work.dtype,
            "flops_share": work.cost.flops / once / ceiling,
            "bytes_share": work.cost.bytes / once / ceilings.bytes_per_s,
        }
    return found


def _spread(values: tuple[float, ...]) -> dict:
    return {
        "median": median(values),
        "quartiles": list(quartiles(values)),
        "repeats": list(values),
    }


def failed(case: Case, why: str) -> dict:
    """A measurement that could not be made on this machine."""
    return {"name": case.name, "unit": case.unit, "items": case.items, "error": why}


def read(path: epath.PathLike) -> dict:
    """Results that a benchmark wrote.

    Raises:
      FileNotFoundError: there is no such file.
      BenchmarkError: it is not JSON, not of a benchmark, or of another format.
    """
    path = files.path(path)
    try:
        found = files.read_json(path)
    except DataError as error:
        raise BenchmarkError(f"{error}; expected a benchmark's") from None
    keys = {"format", "machine", "measurements"}
    if not isinstance(found, dict) or (missing := keys - found.keys()):
        lacks = ", ".join(sorted(missing)) if isinstance(found, dict) else "everything"
        raise BenchmarkError(f"{path} is no benchmark's results: it lacks {lacks}")
    if found["format"] != FORMAT:
        raise BenchmarkError(
            f"{path}: format is {found['format']}, expected {FORMAT}; measure it again"
        )
    return found
