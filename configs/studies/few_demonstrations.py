"""GLAM-O and MIP by the number of robot demonstrations. UMI's demonstrations stay as they are.

Use: --config=configs/studies/few_demonstrations.py:quick
"""

from glam_jax.study import grid

SIZES = (10, 25, 50)  # training episodes of the robot


def get_config(argument: str = ""):
    """`argument`: nothing for scale=standard, or quick; lifting and stack_two, three seeds."""
    return grid.study(
        "few_demonstrations",
        quick=grid.is_quick(argument),
        tasks=("lifting", "stack_two"),
        methods=("glam_o", "mip"),
        seeds=(0, 1, 2),
        variants={
            f"{size}_demonstrations": {"overrides": {"data": {"target_episodes": size}}}
            for size in SIZES
        },
        overrides={"data": {"root": "runs/data"}, "evaluate": {"trials": 100}},
    )
