"""Success against the number of demonstrations, of the target robot or of the auxiliary source.

Use: --config=configs/studies/scaling.py:quick
"""

from glam_jax.study import grid

# Target episodes, and auxiliary ones that are added to the fewest of these.
TARGET, AUXILIARY = (100, 300, 500), (100, 200, 400)
QUICK_TARGET, QUICK_AUXILIARY = (50, 100, 200), (50, 150)


def get_config(argument: str = ""):
    """`argument`: nothing for lifting and stack_two with three seeds, or quick: lifting, one seed,
    less data. 100 starts, where the paper has 20."""
    quick = grid.is_quick(argument)
    sizes = (QUICK_TARGET, QUICK_AUXILIARY) if quick else (TARGET, AUXILIARY)
    return grid.study(
        "scaling",
        quick=quick,
        tasks=("lifting",) if quick else ("lifting", "stack_two"),
        methods=("mip", "glam_o"),
        seeds=(0,) if quick else (0, 1, 2),
        variants=variants(*sizes),
        overrides={"data": {"root": "runs/data"}, "evaluate": {"trials": 100}},
    )


def variants(target: tuple[int, ...], auxiliary: tuple[int, ...]) -> dict[str, dict]:
    """`targetN`: N target episodes. `auxiliaryN`: the fewest target episodes, filled up to N in
    all with auxiliary ones; the largest is the mix, whose world model all GLAM-O cells use."""
    least, mix = target[0], f"auxiliary{target[0] + auxiliary[-1]}"
    made = {}
    for added in auxiliary:
        name = f"auxiliary{least + added}"
        made[name] = {
            "methods": ("glam_o",),
            "world_model_from": "" if name == mix else mix,
            "overrides": {"data": {"target_episodes": least, "auxiliary": {"umi": added}}},
        }
    for size in target:
        made[f"target{size}"] = {
            "world_model_from": mix,
            "overrides": {
                "data": {"target_episodes": size, "auxiliary": {"umi": 0}},
                "clone": {"target_share": 1.0},
            },
        }
    return made
