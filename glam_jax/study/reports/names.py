"""What methods, tasks and variants are called in tables and figures."""

METHODS = {
    "glam_o": "GLAM-O",
    "glam": "GLAM",
    "lapa_o": "LAPA-O",
    "lapa": "LAPA",
    "clam_o": "CLAM-O",
    "clam": "CLAM",
    "mip": "MIP",
}
TASKS = {
    "pick_place": "pick and place",
    "knock_down": "knock down",
    "stack_two": "stack two",
    "stack_three": "stack three",
}
VARIANTS = {
    "asymmetric": "asymmetric alignment (GLAM-O)",
    "symmetric": "symmetric alignment",
    "unaligned": "no alignment",
    "action_loss_on_idm": "action loss on the inverse dynamics model",
    "two_sources": "two sources",
    "three_sources": "three sources",
    "twice_the_updates": "twice the policy's updates",
    "light_alignment": "a tenth of the alignment's weight",
    "light_action_loss": "a hundredth of the action loss's weight",
    "large_codebook": "32 codes instead of 8",
    "half_the_updates": "half the policy's updates",
    "whole_action_term": "weight 1 instead of 0.03 of the policy's action term",
    "light_action_term": "weight 0.03 instead of 1 of the policy's action term",
    "joints": "joint angles instead of the gripper's pose",
}


def method(name: str) -> str:
    """Name of a method as the paper writes it."""
    return METHODS.get(name, name)


def variant(name: str) -> str:
    """What a variant changes, in words."""
    return VARIANTS.get(name, name)


def task(name: str) -> str:
    """Name of a task in words."""
    return TASKS.get(name, name)


def direction(name: str) -> str:
    """A replay's direction in words, "umi_to_kinova" as "umi to kinova"."""
    source, _, target = name.partition("_to_")
    return f"{robot(source)} to {robot(target)}"


def robot(name: str) -> str:
    """Name of a source; the stand-in for a real arm says that it is simulated."""
    return "kinova_real (simulated)" if name == "kinova_real" else name
