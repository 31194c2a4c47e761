"""robosuite's Lift or Stack by a Kinova3, learned with demonstrations by a Panda without actions.

    python -m glam_jax.train --config=examples/robosuite/config.py:lift,method=glam_o,scale=quick

The recordings are those of record.py. What the keys mean: configs/own_data.py.
"""

from glam_jax.own_data import config

VIEWS = {"front": "agentview", "side": "sideview", "wrist": "robot0_eye_in_hand"}

PANDA = {
    "rate_hz": 10.0,
    "split": "train",
    "heldout_split": "valid",
    "views": {view: f"obs/{camera}_image" for view, camera in VIEWS.items()},
    "masks": {view: f"obs/{camera}_mask" for view, camera in VIEWS.items()},
    "position": "obs/robot0_eef_pos",
    "rotation": "obs/robot0_eef_quat_site",
    "rotation_form": "quaternion_xyzw",
    "gripper": "obs/gripper_opening",
    "gripper_open": 0.08,  # m; a Kinova3's hand opens further, which counts as 1 as well
    "cameras": "robosuite",
}
KINOVA3 = PANDA | {
    "proprio": ("obs/robot0_joint_pos", "obs/gripper_opening"),
    "proprio_scale": (1.0,) * 7 + (1 / 0.08,),
    "action": "actions",
    # robosuite's gripper command is -1 open and 1 closed, glam_jax's 1 and 0.
    "action_scale": (1.0,) * 7 + (-0.5,),
    "action_offset": (0.0,) * 7 + (0.5,),
}
# The environment's observations have these names without the group that they are recorded in.
_SEEN = [*PANDA["views"].values(), *(PANDA[key] for key in ("position", "rotation", "gripper"))]
KINOVA3["client_names"] = {
    key.removeprefix("obs/"): key for key in (*_SEEN, "obs/robot0_joint_pos")
}


def get_config(argument: str = ""):
    """`argument`: TASK or TASK,method=NAME,scale=NAME; TASK is lift or stack."""
    task, _, rest = (argument or "lift").partition(",")
    own = {
        "target": "kinova3",
        "target_episodes": 50,
        "auxiliary": {"panda": 200},
        "joins_target": (),
        "heldout_episodes": 10,
        "arms": 1,
        "arm_proprio": 8,
        "arm_action": 8,
        "action_kind": "joint_positions",
        "rate_hz": 10.0,
        "image_size": 64,
        "sources": {
            "kinova3": KINOVA3 | {"path": f"runs/robosuite/{task}_kinova3.hdf5"},
            "panda": PANDA | {"path": f"runs/robosuite/{task}_panda.hdf5"},
        },
    }
    return config.on_command_line(f"robosuite_{task}", own, rest)
