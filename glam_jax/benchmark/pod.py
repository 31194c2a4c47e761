"""How long a training step takes on many devices: an estimate from a few numbers.

    step(n)      = max(compute + exchange(n), input)
    compute      = rows / throughput of one device, which a benchmark measured
    exchange(n)  = 2 (m - 1)/m G / link + 2 (m - 1) hop              within a group of m devices
                 + 2 (h - 1)/h (G/m)/network + 2 (h - 1) far hop     between h = n/m groups
    input        = rows * bytes of a row * devices of a host / what a host can read
    efficiency   = step(1) / step(n) at as many rows a device; step(1) / (n step(n)) where they
                   are split, with computation taken as proportional to rows

G are the bytes of the gradients, averaged by a ring within a group that fast links join and then
between groups. The exchange is taken as not hidden behind the computation, which is on the safe
side; the next batch is read during the step, and nothing is read of data that stay on the devices.
"""

import dataclasses

import jax
from ml_collections import ConfigDict

from glam_jax.benchmark import cost, training
from glam_jax.benchmark.case import BenchmarkError

COUNTS = (1, 8, 64, 512)


@dataclasses.dataclass(frozen=True)
class Machine:
    """Devices and what joins them.

    Attributes:
      group: devices joined by fast links. link: bytes/s that a device sends over them, one way.
      network: bytes/s of a device between groups, one way.
      link_hop, network_hop: seconds of one message; assumed.
      host: devices of one host. read: bytes/s at which a host reads data; its network, assumed
        where not published.
    """

    group: int
    link: float
    network: float
    link_hop: float
    network_hop: float
    host: int
    read: float


# From cloud.google.com/tpu/docs (v5e, v4: pod, all-reduce bandwidth of a pod over its chips, the
# network cards of a v5e host; those of a v4 host are assumed alike). Of the H100 SXM: NVLink
# 900 GB/s both ways, 400 Gbit/s InfiniBand a GPU, which were not checked against NVIDIA's sheets.
MACHINES = {
    "tpu_v5e": Machine(256, 51.2e12 / 256, 25e9 / 8, 1e-6, 20e-6, 8, 25e9),
    "tpu_v4": Machine(4096, 1.1e15 / 4096, 25e9 / 4, 1e-6, 20e-6, 4, 25e9),
    "h100": Machine(8, 450e9, 50e9, 2e-6, 5e-6, 8, 50e9),
}


@dataclasses.dataclass(frozen=True)
class Work:
    """What one update does.

    Attributes:
      batch: rows of it, B. gradients: bytes that devices exchange. row: bytes of a row's data.
    """

    batch: int
    gradients: int
    row: float


@dataclasses.dataclass(frozen=True)
class Step:
    """Seconds of a step, by what they are spent on."""

    compute: float
    exchange: float
    input: float

    @property
    def seconds(self) -> float:
        return max(self.compute + self.exchange, self.input)

    @property
    def bottleneck(self) -> str:
        """The longest part."""
        parts = ("compute", "exchange", "input")
        return max(parts, key=lambda name: getattr(self, name))


def work(stage: str, config: ConfigDict) -> Work:
    """Counts the update of the stage "pretrain" or "clone"; nothing is computed."""
    made = training.trainer(stage, config, made_up=True)
    batch = config[stage].batch
    return Work(
        batch=batch,
        gradients=cost.nbytes(jax.eval_shape(lambda: made.state.params)),
        row=cost.nbytes(made.batch) / batch,
    )


def measured(results: dict, stage: str, config: ConfigDict) -> float:
    """Rows per second of one device, as a benchmark measured the stage at the config's scale.

    Args:
      results: of a benchmark, see `record.read`. stage: "pretrain" or "clone".

    Raises:
      BenchmarkError: it did not measure this stage, scale and batch; names what it measured.
    """
    number = {"pretrain": 1, "clone": 2}[stage]
    wanted = f"stage{number}/{config.scale}/batch {config[stage].batch}"
    rows = {row["name"]: row.get("per_second") for row in results["measurements"]}
    if not rows.get(wanted):
        training = sorted(name for name in rows if name.startswith("stage") and rows[name])
        raise BenchmarkError(
            f"the benchmark has no {wanted!r}; it has {', '.join(training) or 'no training'}. "
            "Give --rows_per_s, or the batch that was measured"
        )
    return rows[wanted]


def all_reduce(gradients: float, devices: int, machine: Machine) -> float:
    """Seconds in which n devices average G bytes."""
    within = min(devices, machine.group)
    groups = -(-devices // within)
    return 2 * (within - 1) * (gradients / within / machine.link + machine.link_hop) + 2 * (
        groups - 1
    ) * (gradients / within / groups / machine.network + machine.network_hop)


def step(
    update: Work, rows: float, devices: int, machine: Machine, rows_per_s: float, resident: bool
) -> Step:
    """A step of so many rows on each of n devices; `rows_per_s` of one device."""
    read = rows * update.row * min(devices, machine.host) / machine.read
    exchange = all_reduce(update.gradients, devices, machine)
    return Step(rows / rows_per_s, exchange, 0.0 if resident else read)


def table(update: Work, machine: Machine, rows_per_s: float, resident: bool) -> str:
    """Markdown: the step on each of `COUNTS`, the batch on each device, and split over all."""
    lines = [
        "| devices | rows | step, ms | compute | exchange | input | efficiency | longest |"
        " split: step, ms | efficiency | longest |",
        "|" + "---|" * 11,
    ]
    alone = step(update, update.batch, 1, machine, rows_per_s, resident).seconds
    for n in COUNTS:
        grown = step(update, update.batch, n, machine, rows_per_s, resident)
        parts = (grown.seconds, grown.compute, grown.exchange, grown.input)
        cells = [str(n), str(n * update.batch), *(f"{1e3 * part:.2f}" for part in parts)]
        cells += [f"{alone / grown.seconds:.0%}", grown.bottleneck]
        if update.batch % n == 0:
            cut = step(update, update.batch // n, n, machine, rows_per_s, resident)
            share = f"{alone / n / cut.seconds:.0%}"
            cells += [f"{1e3 * cut.seconds:.2f}", share, cut.bottleneck]
        else:
            cells += ["does not divide", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
