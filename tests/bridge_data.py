"""A dataset such as BridgeData V2 in RLDS: pose differences, Euler angles, 5 Hz.

`BRIDGE_DATA` in the environment is the folder of a true one, of whatever size.
"""

import os

import numpy as np
import tensorflow_datasets as tfds

EPISODES, STEPS = 6, 30


def steps(index: int) -> list[dict]:
    """An episode: the state is where the differences led to."""
    random = np.random.default_rng(index)
    deltas = np.concatenate(
        [
            0.01 * random.normal(size=(STEPS, 3)),
            0.05 * random.normal(size=(STEPS, 3)),
            np.arange(STEPS)[:, None] < STEPS // 2,
        ],
        axis=1,
    ).astype(np.float32)
    start = np.float32([0.3, 0.0, 0.1, 0.0, -0.2, 0.1, 1.0])
    state, made = start, []
    for t, action in enumerate(deltas):
        image = random.integers(0, 256, (64, 64, 3), np.uint8)
        made.append(
            {
                "observation": {"image_0": image, "state": state},
                "action": action,
                "language_instruction": "put the spoon in the pot",
                "is_first": t == 0,
                "is_last": t == STEPS - 1,
            }
        )
        state = np.append(state[:6] + action[:6], action[6]).astype(np.float32)
    return made


class BridgeBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the dataset."""

    VERSION = tfds.core.Version("1.0.0")
    name = "bridge_dataset"

    def _info(self):
        features = tfds.features
        step = {
            "observation": {
                "image_0": features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
                "state": features.Tensor(shape=(7,), dtype=np.float32),
            },
            "action": features.Tensor(shape=(7,), dtype=np.float32),
            "language_instruction": features.Text(),
            "is_first": np.bool_,
            "is_last": np.bool_,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict({"steps": features.Dataset(step)}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(EPISODES):
            yield index, {"steps": steps(index)}


def folder(root) -> str:
    """Of the true dataset, or of the one that is written now."""
    if true := os.environ.get("BRIDGE_DATA"):
        return true
    tfds.disable_progress_bar()
    builder = BridgeBuilder(data_dir=root, file_format="tfrecord")
    builder.download_and_prepare()
    return str(builder.data_path)


KEYS = {
    "rate_hz": 5.0,
    "views": {"front": "observation/image_0"},
    "position": "observation/state[0:3]",
    "rotation": "observation/state[3:6]",
    "rotation_form": "euler_xyz",
    "gripper": "observation/state[6]",
    "proprio": "observation/state",
    "action": "action",
    "text": "language_instruction",
}
