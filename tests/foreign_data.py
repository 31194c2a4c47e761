"""A small robot dataset as another lab would write it: TFDS's own writer, keys of its own.

Images are 24 x 32 PNG with a bright square that moves with the gripper, whose path is an arc.
Rotations are quaternions with the scalar first, positions millimetres, joints degrees, at 20 Hz.
"""

import numpy as np
import tensorflow_datasets as tfds
from scipy.spatial.transform import Rotation

from glam_jax.data import dataset
from glam_jax.demonstrations.recorded import RecordedSource
from glam_jax.own_data import config as own_config

STEPS, EPISODES, RATE = 21, 5, 20.0
HEIGHT, WIDTH = 24, 32
# The colour of the square, for masks.
SQUARE = {"square": {"hue": (40, 55), "saturation": (0.5, 1), "value": (0.5, 1), "area": (0.01, 1)}}


def arrays(index, steps=STEPS):
    """The true motion of an episode: metres, matrices, opening, radians."""
    t = np.linspace(0, 1, steps)
    position = np.stack([0.4 + 0.1 * t, 0.05 * np.sin(3 * t + index), 0.3 - 0.1 * t], 1)
    angles = np.stack([0.5 * t, 0.1 * np.cos(t), 3.0 + 0.2 * t], 1)
    rotation = Rotation.from_euler("xyz", angles)
    joints = np.linspace(-1, 1, 7) + 0.3 * t[:, None] + 0.01 * index
    return {"position": position, "rotation": rotation, "opening": 1 - t, "joints": joints}


def masks(steps=STEPS):
    """Where the square is in the images of an episode, (T, H, W) bool."""
    found = np.zeros((steps, HEIGHT, WIDTH), bool)
    for t in range(steps):
        found[t, 4:12, t : t + 8] = True
    return found


def example(index, with_actions, steps=STEPS, spoil=None, change=None):
    true = arrays(index, steps)
    quaternion = true["rotation"].as_quat()[:, [3, 0, 1, 2]]
    state = np.concatenate(
        [1000 * true["position"], quaternion, 255 * (1 - true["opening"])[:, None]], 1
    ).astype(np.float32)
    if spoil:
        spoil(index, state)
    made = []
    for t in range(steps):
        image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        image[4:12, t : t + 8] = (250, 200, 10)
        observation = {"rgb": image, "state": state[t]}
        step = {"is_first": t == 0, "is_last": t == steps - 1, "is_terminal": False}
        if with_actions:
            observation["joint_degrees"] = np.rad2deg(true["joints"][t]).astype(np.float32)
            following = true["joints"][min(t + 1, steps - 1)]
            grip = np.float32([true["opening"][min(t + 1, steps - 1)]])
            step["action"] = {"joints": np.rad2deg(following).astype(np.float32), "grip": grip}
        made.append(step | {"observation": observation})
    if change:
        change(index, made)
    about = {"success": index != 1, "instruction": f"reach {index % 2}"}
    return {"steps": made, "episode_metadata": about}


class ForeignBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the dataset; `name` and what is in it are given by the caller."""

    VERSION = tfds.core.Version("0.1.0")

    def __init__(self, name, with_actions, spoil=None, change=None, **kwargs):
        self.name, self._with_actions = name, with_actions
        self._changes = {"spoil": spoil, "change": change}
        super().__init__(**kwargs)

    def _info(self):
        features = tfds.features
        observation = {
            "rgb": features.Image(shape=(HEIGHT, WIDTH, 3), encoding_format="png"),
            "state": features.Tensor(shape=(8,), dtype=np.float32),
        }
        step = {k: np.bool_ for k in ("is_first", "is_last", "is_terminal")}
        if self._with_actions:
            observation["joint_degrees"] = features.Tensor(shape=(7,), dtype=np.float32)
            step["action"] = {
                "joints": features.Tensor(shape=(7,), dtype=np.float32),
                "grip": features.Tensor(shape=(1,), dtype=np.float32),
            }
        step["observation"] = observation
        nested = {
            "steps": features.Dataset(step),
            "episode_metadata": {
                "success": np.bool_,
                "instruction": features.Text(),
            },
        }
        return tfds.core.DatasetInfo(
            builder=self, features=features.FeaturesDict(nested), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(EPISODES):
            yield index, example(index, self._with_actions, **self._changes)


def write(root, name, with_actions, file_format, spoil=None, change=None):
    """Writes the dataset and returns its folder.

    `spoil` changes the states (T, 8) of an episode in place, `change` its finished steps.
    """
    tfds.disable_progress_bar()
    builder = ForeignBuilder(
        name, with_actions, spoil, change, data_dir=root, file_format=file_format
    )
    builder.download_and_prepare()
    return builder.data_path


def key_map(folder, with_actions, **changes):
    """The key map of the dataset in a folder, with changed keys."""
    keys = {
        "path": str(folder),
        "rate_hz": RATE,
        "views": {"front": "observation/rgb"},
        "position": "observation/state[0:3]",
        "position_unit": "mm",
        "rotation": "observation/state[3:7]",
        "rotation_form": "quaternion_wxyz",
        "gripper": "observation/state[7]",
        "gripper_closed": 255.0,
        "gripper_open": 0.0,
        "success": "episode_metadata/success",
        "include_failed": True,
    }
    if with_actions:
        degrees = (*[float(np.pi / 180)] * 7, 1.0)
        opening = (*degrees[:7], -1 / 255)
        keys |= {
            "proprio": ("observation/joint_degrees", "observation/state[7]"),
            "proprio_scale": opening,
            "proprio_offset": (*[0.0] * 7, 1.0),
            "action": ("action/joints", "action/grip"),
            "action_scale": degrees,
        }
    return keys | changes


def config(root, arm, handheld, argument="", **changes):
    """A config for both sources, its converted data under `root`."""
    own = {
        "target": "arm",
        "target_episodes": 4,
        "auxiliary": {"handheld": 4},
        "joins_target": (),
        "heldout_episodes": 1,
        "arms": 1,
        "arm_proprio": 8,
        "arm_action": 8,
        "action_kind": "joint_positions",
        "rate_hz": RATE,
        "image_size": 16,
        "sources": {"arm": arm, "handheld": handheld},
    }
    made = own_config.make("reach", own | changes, argument)
    made.data.root = str(root)
    return made


def provide(config, source="arm", episodes=4):
    """Converts so many training episodes of a source, and the held-out ones; the report."""
    found = RecordedSource(config, source)
    return found.convert(config.data.root, episodes, config.data.heldout_episodes)


def read(config, source="arm", split="train"):
    """The converted episodes of a source."""
    recording = RecordedSource(config, source).recording
    return dataset.read(dataset.dataset_path(config.data.root, recording), split, recording)
