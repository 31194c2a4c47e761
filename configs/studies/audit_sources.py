"""Does the audit's verdict on a source foretell what the source brings the policy?

Sources that are fit and sources that are broken in the ways of own data, each with the same
demonstrations of the robot. World models are trained with the source in the mix, as a user's are.
Use: --config=configs/studies/audit_sources.py:quick
"""

from glam_jax.study import grid

COUNT = 300  # auxiliary episodes
NONE = {"umi": 0, "kinova_real": 0}
ALONE = {"target_share": 1.0}
UMI = {"umi": COUNT}
# Breakages of demonstrations/breakage.py that must not pass.
UNFIT = (
    "mirrored",
    "shuffled",
    "every_second_shuffled",
    "poses_off",
    "another_point",
    "inverted_opening",
    "moved_camera",
)


def get_config(argument: str = ""):
    """`argument`: nothing for scale=standard, or quick; lifting and stack_two, two seeds."""
    return grid.study(
        "audit_sources",
        quick=grid.is_quick(argument),
        tasks=("lifting", "stack_two"),
        methods=("glam_o",),
        seeds=(0, 1),
        variants=variants(),
        overrides={"data": {"root": "runs/data", "target": "kinova"}, "evaluate": {"trials": 100}},
        measure=(grid.POLICY, grid.AUDIT),
    )


def variants() -> dict[str, dict]:
    """No auxiliary source, four that are fit, and eight that are not."""
    made = {"none": {"overrides": {"data": {"auxiliary": NONE}, "pretrain": ALONE, "clone": ALONE}}}
    made["umi"] = data(UMI)
    made["half_of_umi"] = data({"umi": COUNT // 2})
    made["another_robot"] = data({"umi": 0, "kinova_real": COUNT})
    for broken in ("faster", *UNFIT):
        made[broken] = data(UMI, broken)
    made["another_task"] = data(UMI, "pick_place")
    return made


def data(auxiliary: dict[str, int], broken: str = "") -> dict:
    """A variant with this auxiliary source."""
    return {"overrides": {"data": {"auxiliary": auxiliary, "broken": broken}}}
