"""A study: many runs, their table and figures, with one command, by one job or by many.

    python -m glam_jax.study --config=configs/studies/main_table.py:quick
    python -m glam_jax.study --config=configs/studies/main_table.py --shard=2/8

    python -m glam_jax.study --config=... --known=results/main_table.json

    python -m glam_jax.study --config=configs/studies/scaling.py:quick \
        --target_cost=10 --auxiliary_cost=1 --wanted=0.8

Skips what is done and continues what was stopped. Of several jobs on one machine with one
--workdir, each takes the cells that no other is doing. Jobs on different machines do not see each
other: with --shard each does its own part of the cells. `--known` leaves out the cells of a
summary, for a study that goes on where none of its run folders are. Writes report.md, CSV, figures
and summary.json. With the costs of demonstrations, a scaling study says how many auxiliary ones
replace one of the target, and the cheapest mix for a wanted success, also in exchange.md.
"""

import sys

from absl import flags

from glam_jax import files
from glam_jax.runtime import entry
from glam_jax.runtime.preemption import Preempted
from glam_jax.study import grid, worker
from glam_jax.study.reports import exchange, summary, write

_CONFIG = entry.define_config("A file of configs/studies/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the study; default runs/studies/NAME.")
_SHARD = flags.DEFINE_string("shard", "", "K/N: this job's part of the cells, such as 2/8.")
_KNOWN = flags.DEFINE_string("known", None, "A summary whose cells are left out.")
_RUN = flags.DEFINE_bool("run", True, "Do what is left; --norun only writes the report anew.")
_TARGET_COST = flags.DEFINE_float("target_cost", None, "Of one demonstration of the target robot.")
_AUXILIARY_COST = flags.DEFINE_float("auxiliary_cost", None, "Of one of the auxiliary source.")
_WANTED = flags.DEFINE_float("wanted", 0.8, "Success rate of the cheapest mix, with the costs.")


def main(_):
    study = _CONFIG.value
    cells = grid.expand(study)
    costs = exchange.costs(study.name, _TARGET_COST.value, _AUXILIARY_COST.value, _WANTED.value)
    name = f"{study.name}_quick" if study.quick else study.name
    folder = files.path(_WORKDIR.value or f"runs/studies/{name}")
    share = grid.share(cells, _SHARD.value)
    if _KNOWN.value:
        known = {cell["name"] for cell in summary.read(_KNOWN.value)["cells"]}
        share = [cell for cell in share if cell.name not in known]
    tally = worker.Tally()
    if _RUN.value:
        for cell, reason in worker.unusable(share).items():
            print(f"{cell} will fail: {reason}")
        try:
            tally = worker.work(share, cells, folder, worker.make_carry_out(cells))
        except Preempted as stopped:
            print(f"{stopped}. The same command continues the study in {folder}")
            sys.exit(0)
    found = summary.collect(study, folder)
    print(f"{len(found['cells'])} of {len(cells)} cells are done. {write.study(found, folder)}")
    if costs:
        text = exchange.report(found, costs)
        files.write_text(folder / "exchange.md", text + "\n")
        print(text)
    if tally.elsewhere:
        print(f"Other jobs are at work on {', '.join(tally.elsewhere)}")
    for cell, reason in tally.failed.items():
        print(f"failed: {worker.cell_folder(folder, cell)}: {reason}", file=sys.stderr)
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    entry.run(main)
