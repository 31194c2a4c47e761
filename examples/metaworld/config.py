"""One MetaWorld task learned from few trajectories with actions and many of the same arm without.

    python -m glam_jax.own_data ingest --config=examples/metaworld/config.py:assembly-v3
    python -m glam_jax.train --config=examples/metaworld/config.py:assembly-v3,method=clam

Recordings are those of record.py. What the keys mean: configs/own_data.py.
"""

from glam_jax.own_data import config

LABELLED, UNLABELLED = 50, 400  # training trajectories


def get_config(argument: str = ""):
    """`argument`: TASK, or TASK,method=NAME,scale=NAME; the method is glam, clam, lapa or mip."""
    task, _, rest = (argument or "assembly-v3").partition(",")
    seen = {
        "rate_hz": 40.0,
        "split": "train",
        "heldout_split": "valid",
        "views": {"corner": "obs/corner_image", "hand": "obs/gripperPOV_image"},
        "position": "obs/hand_pos",
        "rotation": "obs/hand_quat",
        "rotation_form": "quaternion_xyzw",
        "gripper": "obs/gripper_opening",
        "cameras": "metaworld",
    }
    commanded = {"proprio": ("obs/joint_pos", "obs/gripper_opening"), "action": "actions"}
    # The environment's observations have these names without the group that they are recorded in.
    observed = [*seen["views"].values(), seen["position"], seen["rotation"], *commanded["proprio"]]
    commanded["client_names"] = {key.removeprefix("obs/"): key for key in observed}
    own = {
        "target": "labelled",
        "target_episodes": LABELLED,
        "auxiliary": {"unlabelled": UNLABELLED},
        "joins_target": (),
        "heldout_episodes": 10,
        "arms": 1,
        "arm_proprio": 8,
        "arm_action": 4,
        "action_kind": "other",  # differences of position in units of 2 cm, and an effort
        "rate_hz": 40.0,
        "image_size": 64,
        "sources": {
            "labelled": {"path": f"runs/metaworld/{task}_labelled.hdf5"} | seen | commanded,
            "unlabelled": {"path": f"runs/metaworld/{task}_unlabelled.hdf5"} | seen,
        },
    }
    made = config.on_command_line(f"metaworld_{task.replace('-', '_')}", own, rest)
    if made.method == "clam":
        _learn_from_both(made)
    return made


def _learn_from_both(made) -> None:
    """CLAM as in its own paper: glam_jax's learns from the target alone, as GLAM's paper has it."""
    with made.unlocked():
        made.data.auxiliary.unlabelled = UNLABELLED
        made.pretrain.target_share = 0.5
        made.clone.target_share = 0.4
