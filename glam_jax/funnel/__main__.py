"""Which of several sources is worth collecting: the whole way from their data to a page.

    python -m glam_jax.funnel --config=configs/lifting.py:scale=quick --candidates=umi,kinova

For each candidate a world model is trained with it in the mix and audited. Where the audit admits
the source, a policy is trained with it and measured, beside policies without any source, from all
and from half of the robot's demonstrations. Of a candidate as many episodes are used as
`config.data.auxiliary` gives it, else as many as it gives the source with the most. Writes
funnel.html and funnel.json; the same command continues what was stopped. Exit status 0 if a source
is admitted, else 1.

On own data, whose robot is not simulated here, policies are measured on held-out episodes alone:
only the robot can tell their success.
"""

import sys

from absl import flags

from glam_jax import files
from glam_jax.funnel import funnel
from glam_jax.runtime import entry
from glam_jax.runtime.preemption import Preempted

_CONFIG = entry.define_config("A file of configs/, with its argument.")
_CANDIDATES = flags.DEFINE_list("candidates", None, "Sources to compare, as in umi,kinova.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the funnel; default under runs/.")


def main(_):
    config = _CONFIG.value
    name = f"{config.task}_{config.method}_{config.scale}_seed{config.seed}"
    folder = files.path(_WORKDIR.value or f"runs/funnels/{name}")
    try:
        found = funnel.funnel(config, _CANDIDATES.value, folder)
    except Preempted as stopped:
        print(f"{stopped}. The same command continues the funnel in {folder}")
        sys.exit(0)
    for one in found["candidates"]:
        print(f"{one['title']}: {one['verdict']}")
    print(f"Page: {folder / funnel.PAGE}")
    sys.exit(0 if any(one["fit"] for one in found["candidates"]) else 1)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "candidates"])
    entry.run(main)
