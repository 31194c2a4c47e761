"""How long a training step would take on 8, 64 and 512 devices: an estimate, nothing is run.

    python -m glam_jax.estimate --config=configs/lifting.py --config.clone.batch=256 --stage=clone \
        --machine=h100 --benchmark=results/benchmarks/h100.json
    python -m glam_jax.estimate ... --rows_per_s=5200 --link_gb_s=380 --network_gb_s=45

Counts gradients and data of the stage. What one device does was measured: `--benchmark` is a file
of `python -m glam_jax.benchmark` with this stage, scale and batch; `--rows_per_s` is its number.
docs/scaling.md says how to read the table.
"""

import dataclasses

from absl import flags

from glam_jax import values
from glam_jax.benchmark import pod, record
from glam_jax.benchmark.case import BenchmarkError
from glam_jax.runtime import entry

_CONFIG = entry.define_config("A file of configs/, with its argument.")
_STAGE = flags.DEFINE_enum("stage", "clone", ["pretrain", "clone"], "Which training.")
_MACHINE = flags.DEFINE_enum("machine", "tpu_v5e", sorted(pod.MACHINES), "Which devices.")
_BENCHMARK = flags.DEFINE_string("benchmark", None, "A benchmark.json, measured on one device.")
_ROWS = flags.DEFINE_float("rows_per_s", None, "Measured on one device.", lower_bound=1e-9)
_LINK = flags.DEFINE_float("link_gb_s", None, "GB/s of a device within a group.", 1e-9)
_NETWORK = flags.DEFINE_float("network_gb_s", None, "GB/s of a device between groups.", 1e-9)
_STREAMED = flags.DEFINE_bool("streamed", False, "Data are read by the hosts at each step.")


def main(_):
    values.check(_CONFIG.value)
    given = {"link": _LINK.value, "network": _NETWORK.value}
    given = {name: 1e9 * value for name, value in given.items() if value is not None}
    machine = dataclasses.replace(pod.MACHINES[_MACHINE.value], **given)
    if bool(_ROWS.value) == bool(_BENCHMARK.value):
        raise BenchmarkError("give the measured throughput by --benchmark or by --rows_per_s")
    if _BENCHMARK.value:
        results = record.read(_BENCHMARK.value)
        rows_per_s = pod.measured(results, _STAGE.value, _CONFIG.value)
    else:
        rows_per_s = _ROWS.value
    update = pod.work(_STAGE.value, _CONFIG.value)
    print(
        f"{update.row / 1e3:.4g} kB a row, {update.gradients / 1e6:.4g} MB of gradients, "
        f"{update.batch} rows; {rows_per_s:,.0f} rows/s measured on one device\n"
    )
    print(pod.table(update, machine, rows_per_s, resident=not _STREAMED.value))


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    entry.run(main)
