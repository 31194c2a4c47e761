"""GLAM-O and MIP with the paper's two fixed cameras; `main_table` has them with all cameras.

Use: --config=configs/studies/fixed_views.py:quick
"""

from glam_jax.config import TASKS
from glam_jax.schema import VIEWS
from glam_jax.study import grid


def get_config(argument: str = ""):
    """`argument`: nothing for all tasks, or quick for both stacking tasks; three seeds."""
    quick = grid.is_quick(argument)
    return grid.study(
        "fixed_views",
        quick=quick,
        tasks=("stack_two", "stack_three") if quick else tuple(TASKS),
        methods=("glam_o", "mip"),
        seeds=(0, 1, 2),
        overrides={"data": {"root": "runs/data", "views": VIEWS}, "evaluate": {"trials": 100}},
    )
