"""GLAM-O and MIP with all cameras and with the two fixed ones, at equal updates of the policy.

Use: --config=configs/studies/views.py:quick
"""

from glam_jax.config import TASKS
from glam_jax.schema import VIEWS
from glam_jax.study import grid


def get_config(argument: str = ""):
    """`argument`: nothing for all tasks, or quick for both stacking tasks; three seeds."""
    quick = grid.is_quick(argument)
    return grid.study(
        "views",
        quick=quick,
        tasks=("stack_two", "stack_three") if quick else tuple(TASKS),
        methods=("glam_o", "mip"),
        seeds=(0, 1, 2),
        variants={
            "all_views": {},
            "fixed_views": {"overrides": {"data": {"views": VIEWS}}},
        },
        overrides={"data": {"root": "runs/data"}, "evaluate": {"trials": 100}},
    )
