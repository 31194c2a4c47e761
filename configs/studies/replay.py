"""Replay across sources: unseen episodes of each source, decoded and carried out by the arm.

Use: --config=configs/studies/replay.py:quick
"""

from glam_jax.config import TASKS
from glam_jax.study import grid


def get_config(argument: str = ""):
    """`argument`: nothing for every task and three seeds, or quick for lifting, one seed."""
    quick = grid.is_quick(argument)
    return grid.study(
        "replay",
        quick=quick,
        tasks=("lifting",) if quick else tuple(TASKS),
        methods=("glam_o", "glam"),
        seeds=(0,) if quick else (0, 1, 2),
        overrides={"data": {"root": "runs/data"}, "replay": {"episodes": 20}},
        measure=(grid.REPLAY,),
    )
