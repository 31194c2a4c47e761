"""What a third source adds: clean simulation beside the target robot and the hand-held gripper.

The target is `kinova_real`, the simulated stand-in for a real arm.
Use: --config=configs/studies/third_source.py:quick
"""

from glam_jax.study import grid

TASKS = ("lifting", "pick_place", "knock_down")


def get_config(argument: str = ""):
    """`argument`: nothing for three tasks and seeds, or quick for lifting, one seed."""
    quick = grid.is_quick(argument)
    return grid.study(
        "third_source",
        quick=quick,
        tasks=TASKS[:1] if quick else TASKS,
        methods=("glam_o",),
        seeds=(0,) if quick else (0, 1, 2),
        variants={
            "two_sources": {},
            "three_sources": {"overrides": {"data": {"auxiliary": {"kinova": 100}}}},
        },
        overrides={
            "data": {"root": "runs/data", "target": "kinova_real"},
            "evaluate": {"trials": 50},
        },
    )
