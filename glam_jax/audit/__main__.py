"""Grounding audit: is an auxiliary source fit to use, before any policy is trained?

    python -m glam_jax.audit --workdir=runs/lifting_glam_o_quick_seed0 --source=umi

Needs a finished stage 1 and the source's held-out episodes. Prints a table of gates, and writes
audit_SOURCE.json and audit_SOURCE.html, one page with pictures, into the run's folder. The score is
that of the gate which is passed by least, 1 at best and 0.5 at its threshold. Thresholds are
`config.audit`. Exit status 0 if the source is fit, 1 if a gate fails, and also 1, with one line on
stderr, if the audit could not be made.

To see it catch a source that is not fit:

    ... --broken=shuffled     frames in random order within each episode
    ... --broken=mirrored     pictures mirrored left to right, poses as they were
    ... --broken=stack_two    the source's episodes of another task
"""

from absl import flags

from glam_jax import config
from glam_jax.audit import audit, page
from glam_jax.audit.gates import score
from glam_jax.demonstrations.breakage import BREAKAGES
from glam_jax.experiment.workdir import Workdir
from glam_jax.runtime import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run whose stage 1 is finished.")
_SOURCE = flags.DEFINE_string("source", None, "The auxiliary source.")
_BROKEN = flags.DEFINE_enum(
    "broken", "", ["", *BREAKAGES, *config.TASKS], "How to break it on purpose, or another task."
)


def main(_):
    workdir = Workdir(_WORKDIR.value)
    gates = audit.audit(workdir, _SOURCE.value, _BROKEN.value)
    failed = [gate.name for gate in gates if not gate.passed]
    print(page.table(gates))
    if not any(gate.name == "replay_lower" for gate in gates):
        print("Replay is left out: the robot is not simulated here.")
    verdict = f"NOT fit: {', '.join(failed)}" if failed else "fit to use"
    print(f"{_SOURCE.value}: {verdict}; score {score(gates):.2f}, fit from 0.50 on")
    return int(bool(failed))


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "source"])
    entry.run(main)
