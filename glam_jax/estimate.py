"""How long a training step would take on 8, 64 and 512 devices: an estimate, nothing is run.

    python -m glam_jax.estimate --config=configs/lifting.py:scale=paper --stage=clone --machine=h100
    python -m glam_jax.estimate ... --rows_per_s=5200 --link_gb_s=380 --network_gb_s=45

Counts operations, gradients and data of the stage; what a device does is measured by you
(`--rows_per_s`, of `python -m glam_jax.benchmark`), or else assumed as `--share` of its peak.
docs/scaling.md says how to read it.
"""

import dataclasses

from absl import flags
from ml_collections import config_flags

from glam_jax.benchmark import pod
from glam_jax.runtime import entry

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/, with its argument.")
_STAGE = flags.DEFINE_enum("stage", "clone", ["pretrain", "clone"], "Which training.")
_MACHINE = flags.DEFINE_enum("machine", "tpu_v5e", sorted(pod.MACHINES), "Which devices.")
_ROWS = flags.DEFINE_float("rows_per_s", None, "Measured on one device.", lower_bound=1e-9)
_SHARE = flags.DEFINE_float("share", 0.2, "Of the peak, where not measured.", 1e-9, 1.0)
_LINK = flags.DEFINE_float("link_gb_s", None, "GB/s of a device within a group.", 1e-9)
_NETWORK = flags.DEFINE_float("network_gb_s", None, "GB/s of a device between groups.", 1e-9)
_STREAMED = flags.DEFINE_bool("streamed", False, "Data are read by the hosts at each step.")


def main(_):
    given = {"link": _LINK.value, "network": _NETWORK.value}
    given = {name: 1e9 * value for name, value in given.items() if value is not None}
    machine = dataclasses.replace(pod.MACHINES[_MACHINE.value], **given)
    update = pod.work(_STAGE.value, _CONFIG.value)
    rows_per_s = _ROWS.value or _SHARE.value * machine.flops_per_s / update.flops
    kind = "measured" if _ROWS.value else f"assumed: {_SHARE.value:.0%} of the peak"
    print(
        f"{update.flops / 1e9:.3g} GFLOP and {update.row / 1e3:.4g} kB a row, "
        f"{update.gradients / 1e6:.4g} MB of gradients, {update.batch} rows; "
        f"{rows_per_s:,.0f} rows/s on one device ({kind})\n"
    )
    print(pod.table(update, machine, rows_per_s, resident=not _STREAMED.value))


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    entry.run(main)
