"""GLAM-O against itself with one choice of its world model undone, measured by replay.

Replay across sources shows what the latents carry, before any policy: it needs stage 1 alone.
Use: --config=configs/studies/ablations.py:quick
"""

from glam_jax.study import grid


def get_config(argument: str = ""):
    """`argument`: nothing for two tasks and three seeds, or quick for lifting, two seeds."""
    quick = grid.is_quick(argument)
    return grid.study(
        "ablations",
        quick=quick,
        tasks=("lifting",) if quick else ("lifting", "stack_two"),
        methods=("glam_o",),
        seeds=(0, 1) if quick else (0, 1, 2),
        variants={
            "asymmetric": {},
            "symmetric": {"overrides": {"world_model": {"alignment": "symmetric"}}},
            "unaligned": {"overrides": {"world_model": {"alignment": "none"}}},
            "action_loss_on_idm": {"overrides": {"world_model": {"action_loss_on": "idm"}}},
        },
        overrides={"data": {"root": "runs/data"}, "replay": {"episodes": 20}},
        measure=(grid.REPLAY,),
    )
