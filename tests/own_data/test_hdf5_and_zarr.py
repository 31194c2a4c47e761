"""HDF5 as robomimic and ALOHA write it, and UMI's zarr, become the project's own."""

import io

import foreign_data
import h5py
import numpy as np
import pytest
import zarr
from imagecodecs.numcodecs import Jpegxl
from PIL import Image

from glam_jax.errors import DataError
from glam_jax.own_data import zarr_reader

PROPRIO = ("obs/joints", "obs/grip")
PLAIN = {
    "position_unit": "m",
    "rotation_form": "quaternion_xyzw",
    "gripper_closed": 0.0,
    "gripper_open": 1.0,
    "success": "",
    "proprio_scale": 1.0,
    "proprio_offset": 0.0,
    "action_scale": 1.0,
}
ROBOMIMIC = PLAIN | {
    "views": {"front": "obs/front_image"},
    "position": "obs/eef_pos",
    "rotation": "obs/eef_quat",
    "gripper": "obs/grip",
    "proprio": PROPRIO,
    "action": "actions",
}


def episode(index):
    """An episode of `foreign_data` in metres and radians, pictures and actions."""
    true = foreign_data.arrays(index)
    joints = np.concatenate([true["joints"], true["opening"][:, None]], 1)
    pictures = np.full((foreign_data.STEPS, 24, 32, 3), 40, np.uint8)
    for step, mask in enumerate(foreign_data.masks()):
        pictures[step][mask] = (250, 200, 10)
    return {
        "front_image": pictures,
        "eef_pos": true["position"],
        "eef_quat": true["rotation"].as_quat(),
        "joints": true["joints"],
        "grip": true["opening"][:, None],
        "actions": np.concatenate([joints[1:], joints[-1:]]),
    }


def robomimic(path):
    """Episodes as robomimic's layout has them, with two splits by filter keys."""
    with h5py.File(path, "w") as file:
        for index in range(foreign_data.EPISODES):
            group, arrays = file.create_group(f"data/demo_{index}"), episode(index)
            group.attrs["num_samples"] = foreign_data.STEPS
            group["actions"] = arrays.pop("actions")
            group["dones"] = np.arange(foreign_data.STEPS) == foreign_data.STEPS - 1
            for name, array in arrays.items():
                group[f"obs/{name}"] = array
        file["mask/train"] = [f"demo_{i}".encode() for i in (3, 0, 1)]
        file["mask/valid"] = [b"demo_2"]
    return path


def aloha(folder):
    """A file an episode, pictures as JPEG padded with zeros, as ALOHA's recorder has them."""
    folder.mkdir()
    for index in range(foreign_data.EPISODES):
        arrays = episode(index)
        encoded = []
        for picture in arrays["front_image"]:
            Image.fromarray(picture).save(buffer := io.BytesIO(), "JPEG", quality=95)
            encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
        width = max(map(len, encoded))
        with h5py.File(folder / f"episode_{index}.hdf5", "w") as file:
            file.attrs["sim"] = True
            file["action"] = arrays["actions"]
            file["observations/qpos"] = np.concatenate([arrays["joints"], arrays["grip"]], 1)
            file["observations/images/cam_high"] = np.stack(
                [np.pad(e, (0, width - len(e))) for e in encoded]
            )
    return folder


def umi(path, store=None, **pictures):
    """A replay buffer as UMI's has it: zarr format 2, rotation vectors.

    Args:
      pictures: how their array is stored.
    """
    root = zarr.open_group(store or str(path), mode="w", zarr_format=2)
    made = [episode(index) for index in range(foreign_data.EPISODES)]
    joined = {name: np.concatenate([e[name] for e in made]) for name in made[0]}
    true = [foreign_data.arrays(index)["rotation"].as_rotvec() for index in range(len(made))]
    columns = {
        "camera0_rgb": joined["front_image"],
        "robot0_eef_pos": joined["eef_pos"].astype(np.float32),
        "robot0_eef_rot_axis_angle": np.concatenate(true).astype(np.float32),
        "robot0_gripper_width": (0.08 * joined["grip"]).astype(np.float32),
    }
    for name, values in columns.items():
        stored = {"chunks": (4, *values.shape[1:])}
        if name == "camera0_rgb":
            stored |= pictures
        root.create_array(f"data/{name}", data=values, **stored)
    root.create_array("meta/episode_ends", data=np.cumsum([len(e["grip"]) for e in made]))
    if store:
        store.close()
    return path


def config(root, path, keys, **changes):
    arm = {k: v for k, v in foreign_data.key_map(path, True).items() if k != "include_failed"}
    arm = {k: v for k, v in (arm | keys).items() if v is not None}
    handheld = {k: v for k, v in arm.items() if not k.startswith(("proprio", "action"))}
    return foreign_data.config(root, arm, handheld, **{"target_episodes": 3} | changes)


def check(found, indices):
    assert [len(e) for e in found] == [foreign_data.STEPS] * len(indices)
    for index, one in zip(indices, found, strict=True):
        true, steps = foreign_data.arrays(index), one.steps
        np.testing.assert_allclose(steps["ee_pose"][:, :3], true["position"], atol=1e-5)
        axes = true["rotation"].as_matrix()[..., :2].transpose(0, 2, 1).reshape(-1, 6)
        np.testing.assert_allclose(steps["ee_pose"][:, 3:9], axes, atol=1e-5)
        np.testing.assert_allclose(steps["ee_pose"][:, 9], true["opening"], atol=1e-5)
        if "action" in steps:
            np.testing.assert_allclose(steps["action"][:-1, :7], true["joints"][1:], atol=1e-5)
        assert (steps["image_front"][8, 4:7, 4:7] == (250, 200, 10)).all()


def test_robomimics_file_comes_in_by_its_splits(tmp_path):
    made = config(tmp_path, robomimic(tmp_path / "lift.hdf5"), ROBOMIMIC)
    foreign_data.provide(made, episodes=2)
    check(foreign_data.read(made), [3, 0])
    check(foreign_data.read(made, split="heldout"), [1])
    other = config(tmp_path / "b", tmp_path / "lift.hdf5", ROBOMIMIC | {"heldout_split": "valid"})
    foreign_data.provide(other, episodes=3)
    check(foreign_data.read(other), [3, 0, 1])
    check(foreign_data.read(other, split="heldout"), [2])


def test_alohas_files_come_in_without_a_pose(tmp_path):
    keys = PLAIN | {
        "views": {"front": "observations/images/cam_high"},
        "proprio": "observations/qpos",
        "action": "action",
    }
    keys |= dict.fromkeys(("position", "rotation", "gripper"))
    made = config(tmp_path / "data", aloha(tmp_path / "aloha"), keys)
    foreign_data.provide(made, episodes=4)
    for index, one in enumerate(foreign_data.read(made)):
        true = foreign_data.arrays(index)
        np.testing.assert_allclose(one.steps["action"][:-1, :7], true["joints"][1:], atol=1e-5)
        np.testing.assert_array_equal(one.steps["ee_pose"][3], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0])
        off = np.abs(one.steps["image_front"][8, 5:7, 5:7].astype(int) - (250, 200, 10))
        assert off.max() < 30  # JPEG


def test_a_damaged_file_is_skipped_where_that_is_asked_for(tmp_path):
    """Also where its length would have to be read before it is chosen."""
    folder = aloha(tmp_path / "aloha")
    cut(folder / "episode_1.hdf5")
    keys = PLAIN | {
        "views": {"front": "observations/images/cam_high"},
        "proprio": "observations/qpos",
        "action": "action",
        "min_steps": 2,
    }
    keys |= dict.fromkeys(("position", "rotation", "gripper"))
    made = config(tmp_path / "data", folder, keys)
    with pytest.raises(DataError, match='episode_1.hdf5.*not readable.*on_bad="skip"'):
        foreign_data.provide(made, episodes=3)
    made = config(tmp_path / "data", folder, keys | {"on_bad": "skip"})
    report = foreign_data.provide(made, episodes=3)
    assert [one.seed for one in foreign_data.read(made)] == [0, 2, 3]
    assert len(report["skipped"]) == 1 and "episode_1.hdf5" in report["skipped"][0]


# A picture at a time in JPEG XL, as in the published ones.
JPEG_XL = {"chunks": (1, 24, 32, 3), "compressors": [Jpegxl(lossless=True)]}


@pytest.mark.parametrize(("ending", "pictures"), [(".zarr", {}), (".zarr.zip", JPEG_XL)])
def test_umis_replay_buffer_comes_in(tmp_path, ending, pictures):
    path = tmp_path / f"umi{ending}"
    store = zarr.storage.ZipStore(path, mode="w") if ending.endswith("zip") else None
    zarr_reader.register_codecs()
    umi(path, store, **pictures)
    keys = PLAIN | {
        "views": {"front": "camera0_rgb"},
        "position": "robot0_eef_pos",
        "rotation": "robot0_eef_rot_axis_angle",
        "rotation_form": "rotation_vector",
        "gripper": "robot0_gripper_width",
        "gripper_open": 0.08,
        "proprio": "robot0_gripper_width",
        "action": "robot0_gripper_width",
    }
    widths = {"arm_proprio": 1, "arm_action": 1}
    made = config(tmp_path / "data", path, keys, **widths)
    foreign_data.provide(made, "handheld", episodes=4)
    check(foreign_data.read(made, "handheld"), range(4))


def cut(path):
    path.write_bytes(path.read_bytes()[:3000])


def shorten(path):
    with h5py.File(path, "a") as file:
        values = file["data/demo_3/actions"][:-1]
        del file["data/demo_3/actions"]
        file["data/demo_3/actions"] = values


@pytest.mark.parametrize(
    ("spoil", "keys", "words"),
    [
        (cut, {}, "lift.hdf5, /: not readable as HDF5"),
        (shorten, {}, "data/demo_3: arrays of unequal lengths, .*'actions': 20"),
        (None, {"action": "action"}, "no key 'action' .for action.; did you mean actions"),
        (None, {"split": "test"}, "no episodes in split 'test', found .*'valid': 1"),
        (None, {"views": {"front": "actions"}}, "episode 0: key 'actions': found float64 .8,."),
    ],
)
def test_what_is_wrong_is_named(tmp_path, spoil, keys, words):
    path = robomimic(tmp_path / "lift.hdf5")
    if spoil:
        spoil(path)
    with pytest.raises(DataError, match=words):
        foreign_data.provide(config(tmp_path / "data", path, ROBOMIMIC | keys), episodes=2)


def test_what_is_no_replay_buffer_is_named(tmp_path):
    (path := tmp_path / "other.zarr").mkdir()
    with pytest.raises(DataError, match="other.zarr: not readable as a replay buffer"):
        foreign_data.provide(config(tmp_path / "data", path, ROBOMIMIC), episodes=2)
