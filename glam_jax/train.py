"""Demonstrations to a measured policy with one command.

    python -m glam_jax.train --config=configs/lifting.py:method=glam_o,scale=quick

Makes the data it lacks, pretrains the world model, relabels, clones the policy, evaluates it.
Called again with the same workdir it continues where it was, or says that it is done. It trains
on all devices; on several hosts, `glam_jax.runtime.hosts` says which flags join them, and the
workdir and the data root must be folders that all of them see.
"""

import sys

from absl import flags

from glam_jax import files, values
from glam_jax.experiment import experiment
from glam_jax.runtime import entry, hosts
from glam_jax.runtime.preemption import Preempted

_CONFIG = entry.define_config("A file of configs/, with its argument.")
hosts.define_flags()
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; default under runs/.")


def main(_):
    hosts.join_by_flags()
    config = _CONFIG.value
    values.check(config)
    name = f"{config.task}_{config.method}_{config.scale}_seed{config.seed}"
    workdir = files.path(_WORKDIR.value or f"runs/{name}")
    try:
        results = experiment.run(config, workdir)
    except Preempted as stopped:
        print(f"{stopped}. Run folder: {workdir}")
        sys.exit(0)
    if results:
        print(experiment.table(results))
        print(f"Everything is in {workdir}")


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    entry.run(main)
