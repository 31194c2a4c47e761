"""Every method on every task. Use: --config=configs/studies/main_table.py:quick"""

from glam_jax.config import METHODS, TASKS
from glam_jax.study import grid


def get_config(argument: str = ""):
    """`argument`: nothing for the whole table, or quick for lifting, one seed, scale=quick."""
    quick = grid.is_quick(argument)
    return grid.study(
        "main_table",
        quick=quick,
        tasks=("lifting",) if quick else tuple(TASKS),
        methods=METHODS,
        seeds=(0,) if quick else (0, 1, 2),
        # `film` is here to be set to 0 where there is no ffmpeg.
        overrides={
            "data": {"root": "runs/data"} | (grid.QUICK_MIX if quick else {}),
            "evaluate": {"trials": 100, "film": 9},
        },
    )
