"""What tuning does for each method: three changes of its defaults, each alone.

Every method gets as many as GLAM-O: twice the policy's updates, a change of what the policy is
trained on, and a change that only its own world model, or having none, allows.
Use: --config=configs/studies/tuning.py:quick
"""

from glam_jax.config import METHODS
from glam_jax.study import grid

UPDATES = {"quick": 4000, "standard": 6000}  # of the policy on lifting
GLAM, CLAM, LAPA = ((f"{family}_o", family) for family in ("glam", "clam", "lapa"))


def get_config(argument: str = ""):
    """`argument`: nothing for all methods, or quick for two of them; lifting, one seed."""
    quick = grid.is_quick(argument)
    updates = UPDATES["quick" if quick else "standard"]
    return grid.study(
        "tuning",
        quick=quick,
        tasks=("lifting",),
        methods=("glam_o", "mip") if quick else METHODS,
        seeds=(0,),
        variants={
            "defaults": {},
            "twice_the_updates": policy(METHODS, {"clone": {"steps": 2 * updates}}),
            "whole_action_term": policy(GLAM, {"clone": {"weights": {"action": 1.0}}}),
            "light_action_term": policy(CLAM + LAPA, {"clone": {"weights": {"action": 0.03}}}),
            "joints": policy(("mip",), {"policy": {"proprio": "joints"}}),
            "light_alignment": world_model(GLAM, {"pretrain": {"weights": {"alignment": 0.1}}}),
            "light_action_loss": world_model(CLAM, {"pretrain": {"weights": {"action": 0.01}}}),
            "large_codebook": world_model(LAPA, {"world_model": {"codebook_size": 32}}),
            "half_the_updates": policy(("mip",), {"clone": {"steps": updates // 2}}),
        },
        overrides={
            "data": {"root": "runs/data"} | (grid.QUICK_MIX if quick else {}),
            "evaluate": {"trials": 50},
        },
    )


def policy(methods: tuple[str, ...], overrides: dict) -> dict:
    """A variant of stage 2, on the defaults' world model."""
    return {"methods": methods, "world_model_from": "defaults", "overrides": overrides}


def world_model(methods: tuple[str, ...], overrides: dict) -> dict:
    """A variant of stage 1."""
    return {"methods": methods, "overrides": overrides}
