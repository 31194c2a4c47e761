"""One thing to measure, and how much of it a machine is asked to do."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from glam_jax.benchmark.cost import Cost
from glam_jax.errors import UserError


class BenchmarkError(UserError, ValueError):
    """A group, size, file or process that the benchmark cannot use."""


class Unavailable(BenchmarkError):
    """A case that cannot be measured here, such as for a library that is missing; says why."""


SCALES = ("standard", "paper")


@dataclasses.dataclass(frozen=True)
class Work:
    """A case ready to run.

    Attributes:
      run: one call; the arrays it returns are waited for.
      cost: what a call must do; None where it cannot be counted.
      dtype: of its matrix products, "float32" or "bfloat16".
      warm_up: calls before the clock starts.
      repeats: most repeats, where a call is long; None: as many as asked for.
      rival: of a pair, one call of the same amount of work, measured by turns; else the fixed
        computation takes its place.
      bar: how many times as fast as the rival we mean to be at least; None: no aim.
    """

    run: Callable[[], Any]
    cost: Cost | None = None
    dtype: str = "float32"
    warm_up: int = 1
    repeats: int | None = None
    rival: Callable[[], Any] | None = None
    bar: float | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
      name: group and sizes, such as "render/64 px/16 worlds/12 geoms"; results of one name
        can be compared.
      unit, items: how many of what a call makes, such as 32 "image".
      make: builds the inputs and compiles; not timed.
    """

    name: str
    unit: str
    items: int
    make: Callable[[], Work]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
      batches: scale -> rows B of the batches of training.
      worlds: numbers of worlds simulated or rendered together. pixels: sides of pictures.
      tasks: of physics, rendering and evaluation; the first one is the base of sweeps.
      trials: numbers of trials of an evaluation. horizon: of each; 0 is the task's own.
      starts: processes started to time a start.
      repeats, limit_s: of each measurement, see `clock.repeat`.
    """

    batches: dict[str, tuple[int, ...]]
    worlds: tuple[int, ...]
    pixels: tuple[int, ...]
    tasks: tuple[str, ...] = ("lifting", "stack_three")
    trials: tuple[int, ...] = (50,)
    horizon: int = 0
    starts: int = 3
    repeats: int = 7
    limit_s: float = 20.0


def asked(quick: bool, scales: Sequence[str] = (), **texts: Sequence[str]) -> Sizes:
    """The sizes that a command line asks for; what it does not say are this backend's defaults.

    Args:
      quick: few of all. scales: of training; none are those that the defaults have.
      texts: lists of numbers, by the flags `batches`, `worlds`, `pixels` and `trials`.

    Raises:
      BenchmarkError: no positive whole number, or an unknown scale; names the flag, or the known
        scales.
    """
    for flag, given in texts.items():
        if wrong := [text for text in given if not text.isdecimal() or not int(text)]:
            raise BenchmarkError(f"--{flag}: found {wrong[0]!r}, expected positive whole numbers")
    if unknown := sorted(set(scales) - set(SCALES)):
        raise BenchmarkError(f"unknown scale {unknown[0]}; known: {', '.join(SCALES)}")
    sizes, given = defaults(quick), {flag: tuple(map(int, t)) for flag, t in texts.items() if t}
    batches, least = given.pop("batches", ()), defaults(quick=False).batches
    chosen = scales or [scale for scale in SCALES if sizes.batches[scale]]
    # `sizes` may leave out a scale that was asked for.
    found = {scale: batches or sizes.batches[scale] or least[scale][:1] for scale in chosen}
    return dataclasses.replace(sizes, batches=dict.fromkeys(SCALES, ()) | found, **given)


def defaults(quick: bool) -> Sizes:
    """Sizes for this backend.

    On a CPU the paper's module sizes get batches below the 64 from which an accelerator begins:
    one step of its vision transformer at 64 takes minutes on two cores.
    """
    cpu = jax.default_backend() == "cpu"
    if quick:
        batches = {"standard": (64,), "paper": () if cpu else (64,)}
        few = {"trials": (8,), "horizon": 20, "starts": 1, "repeats": 5, "limit_s": 3.0}
        return Sizes(batches, worlds=(16,), pixels=(64,), tasks=("lifting",), **few)
    if cpu:
        return Sizes({"standard": (64, 256), "paper": (8,)}, (16, 64), (32, 64, 224))
    batches = {"standard": (64, 256, 1024, 4096), "paper": (64, 256)}
    worlds, pixels = (64, 1024, 4096), (64, 128, 224)
    return Sizes(batches, worlds, pixels, trials=(50, 1000))
