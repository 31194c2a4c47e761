"""Success against the number of demonstrations, of the target robot or of the auxiliary source.

Use: --config=configs/studies/scaling.py:quick
"""

from glam_jax.study import grid

SIZES = (100, 300, 500)  # episodes in all
QUICK_SIZES = (50, 100, 200)
# Fixed unseen starts, the same for every cell: the paper's, and more where a point is one training.
TRIALS, QUICK_TRIALS = 20, 100


def get_config(argument: str = ""):
    """`argument`: nothing for stack_two and three seeds, or quick: lifting, one seed, less data."""
    quick = grid.is_quick(argument)
    trials = QUICK_TRIALS if quick else TRIALS
    return grid.study(
        "scaling",
        quick=quick,
        tasks=("lifting",) if quick else ("stack_two",),
        methods=("mip", "glam_o"),
        seeds=(0,) if quick else (0, 1, 2),
        variants=variants(QUICK_SIZES if quick else SIZES),
        overrides={"data": {"root": "runs/data"}, "evaluate": {"trials": trials}},
    )


def variants(sizes: tuple[int, ...]) -> dict[str, dict]:
    """`targetN`: N target episodes. `auxiliaryN`: the fewest target episodes, filled up to N in
    all with auxiliary ones; the largest is the mix, whose world model all GLAM-O cells use."""
    least, most = sizes[0], sizes[-1]
    mix = f"auxiliary{most}"
    made = {}
    for size in sizes[1:]:
        made[f"auxiliary{size}"] = {
            "methods": ("glam_o",),
            "world_model_from": "" if size == most else mix,
            "overrides": {"data": {"target_episodes": least, "auxiliary": {"umi": size - least}}},
        }
    for size in sizes:
        made[f"target{size}"] = {
            "world_model_from": mix,
            "overrides": {
                "data": {"target_episodes": size, "auxiliary": {"umi": 0}},
                "clone": {"target_share": 1.0},
            },
        }
    return made
