"""What methods, tasks and variants are called in tables and figures."""

from glam_jax.study.reports import published

TASKS = {"pick_place": "pick and place"}
VARIANTS = {
    "asymmetric": "asymmetric alignment (GLAM-O)",
    "symmetric": "symmetric alignment",
    "unaligned": "no alignment",
    "action_loss_on_idm": "action loss on the inverse dynamics model",
    "light_alignment": "a tenth of the alignment's weight",
    "light_action_loss": "a hundredth of the action loss's weight",
    "large_codebook": "32 codes instead of 8",
    "twice_the_updates": "twice the policy's updates",
    "half_the_updates": "half the policy's updates",
    "whole_action_term": "action weight 1 instead of 0.03",
    "light_action_term": "action weight 0.03 instead of 1",
    "joints": "joint angles instead of the gripper's pose",
}
CURVES = {
    published.MIP: "MIP, target",
    published.AUXILIARY: "GLAM-O, target + auxiliary",
    published.TARGET: "GLAM-O, target",
}


def method(name: str) -> str:
    """Name of a method as the paper writes it, "glam_o" as "GLAM-O"."""
    return name.upper().replace("_", "-")


def variant(name: str) -> str:
    """What a variant changes, in words."""
    return VARIANTS.get(name, name.replace("_", " "))


def task(name: str) -> str:
    """Name of a task in words."""
    return TASKS.get(name, name.replace("_", " "))


def replayed(direction: str) -> str:
    """Whose episodes a replay carries out, "umi_to_kinova" as "umi"."""
    source, _, target = direction.partition("_to_")
    return "the robot's own" if source == target else source


# What the values of a line's keys are called.
WORDS = {
    "task": task,
    "method": method,
    "variant": variant,
}
