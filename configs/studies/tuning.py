"""What tuning does for each method: twice the policy's updates, and a setting of its own.

Every method gets as many trials as GLAM-O: its defaults, which all share, and two changes.
Use: --config=configs/studies/tuning.py:quick
"""

from glam_jax import grid
from glam_jax.config import METHODS

TWICE = {"quick": 8000, "standard": 12_000}  # updates of the policy on lifting


def get_config(argument: str = ""):
    """`argument`: nothing for all methods, or quick for four of them; lifting, one seed."""
    quick = grid.is_quick(argument)
    return grid.study(
        "tuning",
        quick=quick,
        tasks=("lifting",),
        methods=("glam_o", "lapa_o", "clam_o", "mip") if quick else METHODS,
        seeds=(0,),
        variants={
            "defaults": {},
            "twice_the_updates": {
                "world_model_from": "defaults",
                "overrides": {"clone": {"steps": TWICE["quick" if quick else "standard"]}},
            },
            "light_alignment": {
                "methods": ("glam_o", "glam"),
                "overrides": {"pretrain": {"weights": {"alignment": 0.1}}},
            },
            "light_action_loss": {
                "methods": ("clam_o", "clam"),
                "overrides": {"pretrain": {"weights": {"action": 0.01}}},
            },
            "large_codebook": {
                "methods": ("lapa_o", "lapa"),
                "overrides": {"world_model": {"codebook_size": 32}},
            },
            "joints": {
                "methods": ("mip",),
                "overrides": {"policy": {"proprio": "joints"}},
            },
        },
        overrides={"data": {"root": "runs/data"}, "evaluate": {"trials": 50}},
    )
