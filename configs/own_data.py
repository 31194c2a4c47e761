"""Your own recordings, described by a key map for each source; see docs/own_data.md.

    python -m glam_jax.own_data ingest --config=configs/own_data.py  # convert, once
    python -m glam_jax.inspect runs/data/my_task_my_arm_64px         # look at what came in
    python -m glam_jax.train --config=configs/own_data.py             # world model and policy

Copy this file and change it. Values can be set by flags too: --config.own.sources.my_arm.path=...
"""

from glam_jax.own_data import config

# Masks by colour, one entry an object; bounds are from and to. Look at what they find with
#   python -m glam_jax.own_data masks --config=configs/own_data.py --source=my_arm
CUBE = {
    "cube": {
        "hue": (345.0, 15.0),  # degrees: red 0, yellow 60, green 120, blue 240; may pass 0
        "saturation": (0.6, 1.0),  # 0 grey, 1 pure
        "value": (0.2, 1.0),  # 0 black, 1 bright
        "area": (0.002, 0.03),  # share of the picture that one object may fill
    },
}

# The target: the robot that the policy is for. Keys are paths inside a step, or columns of a
# LeRobot dataset; [i] and [from:to] pick numbers, a comma joins them. With two arms, position,
# rotation and gripper have one key for each: ("a", "b").
MY_ARM = {
    # RLDS: has dataset_info.json. LeRobot: has meta/info.json. An HDF5 file or a folder of them,
    # one an episode. A .zarr or .zarr.zip of UMI.
    "path": "~/tensorflow_datasets/my_arm/1.0.0",
    "split": "train",
    "heldout_split": "",  # "": the last episodes of `split` are kept apart
    "episodes": "",  # which ones, such as 0:50,60; "": all
    "on_bad": "error",  # skip: a bad episode is left out and named
    "rate_hz": 10.0,  # as recorded; resampled to `rate_hz` below
    # The cameras, any number, the same placement in all sources. "": there was none.
    "views": {"front": "observation/image", "overhead": "observation/image_overhead"},
    # How pictures are stored, where they are not uint8 RGB (H, W, 3), upright: low, high, channels,
    # colours, crop, flip, turn, such as {"overhead": {"colours": "bgr", "turn": 180}}.
    "image_forms": {"front": {}, "overhead": {}},
    # For the methods on masks (glam_o, ...), of each view in one of three ways, or in none.
    # Stored: a key; any number above 0 is on the objects.
    "masks": {"front": "", "overhead": ""},
    # By colour: the manipulated objects, such as CUBE above; {}: none.
    "mask_colours": {"front": {}, "overhead": {}},
    "mask_hold_s": 1.0,  # s that an object which is covered keeps its mask
    # By a segmenter: a folder of PNG files, see docs/own_data.md.
    "mask_folder": {"front": "", "overhead": ""},
    "fit": "crop",  # images that are not square: crop, pad or stretch
    # End-effector pose: of the same point between the fingers, in one frame, for all sources.
    "position": "observation/state[0:3]",
    "position_unit": "m",  # m, cm or mm
    "rotation": "observation/state[3:7]",
    # quaternion_xyzw, quaternion_wxyz, rotation_vector, 6d (first two columns), 6d_rows, matrix,
    # matrix_4x4 (rows), matrix_4x4_columns (position and rotation name the same matrix),
    # euler_xyz (fixed axes, first x) or euler_ZYX (moving axes, first Z), in any order of axes.
    "rotation_form": "quaternion_xyzw",
    "angle_unit": "rad",  # rad or deg, of Euler angles and rotation vectors
    "gripper": "observation/state[7]",
    "gripper_closed": 0.0,  # stored value when closed ...
    "gripper_open": 1.0,  # ... and when fully open
    # Where the frame of the stored pose is in the workspace, and where the point between the
    # fingers is, seen from the stored pose.
    "base_position": (0.0, 0.0, 0.0),  # m
    "base_rotation": (0.0, 0.0, 0.0, 1.0),  # quaternion xyzw
    "tool_offset": (0.0, 0.0, 0.0),  # m
    # Joint state and action: keys whose numbers are joined, arm by arm. The policy uses
    # stored * scale + offset, each one number for all or one for each; so degrees become radians.
    "proprio": ("observation/joints", "observation/state[7]"),
    "proprio_scale": 1.0,
    "proprio_offset": 0.0,
    "action": "action",
    "action_scale": 1.0,
    "action_offset": 0.0,
    # sar: a step's action follows its observation, as RLDS has it; ars: it led to it.
    "alignment": "sar",
    # Key of the episode's success, such as episode_metadata/success; failed ones are left out.
    "success": "",
    "cameras": "table 1",  # a name; only sources with the same one are trained together
    "weight": 1.0,  # how likely a window is, relative to other sources of its kind
}

# An auxiliary source: no robot actions, so neither `proprio` nor `action`. Keys that are not
# given have the values above as their defaults.
MY_HANDHELD = {
    "path": "~/tensorflow_datasets/my_handheld/1.0.0",
    "rate_hz": 30.0,
    "views": {"front": "observation/front", "overhead": "observation/top"},
    "position": "observation/pose[0:3]",
    "rotation": "observation/pose[3:6]",
    "rotation_form": "euler_xyz",
    "gripper": "observation/width",
    "gripper_closed": 0.0,
    "gripper_open": 0.085,
    "cameras": "table 1",
}

OWN = {
    "target": "my_arm",
    "target_episodes": 100,  # used for training
    "auxiliary": {"my_handheld": 400},  # source -> episodes, used without actions
    "joins_target": (),  # those of `auxiliary` that are target data too, with their actions
    "heldout_episodes": 10,  # of each source, never trained on
    "arms": 1,
    "arm_proprio": 8,  # numbers an arm of `proprio`
    "arm_action": 8,  # numbers an arm of `action`
    # What an action is: joint_positions (targets, in the order of proprio), pose (an arm begins
    # with a position to go to, m), pose_delta (with a change of position, m; ends with the
    # gripper), or other. Checks compare it with what the robot then did.
    "action_kind": "joint_positions",
    "rate_hz": 10.0,  # at which the policy will act
    "image_size": 64,  # pixels
    "sources": {"my_arm": MY_ARM, "my_handheld": MY_HANDHELD},
}


def get_config(argument: str = ""):
    """`argument`: method=NAME,scale=NAME of `config.METHODS` and `config.SCALES`."""
    return config.on_command_line("my_task", OWN, argument)
