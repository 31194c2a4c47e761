"""What LeRobot's own writer made comes in; what is wrong with it is named."""

import importlib
import json
import pathlib
import shutil
import sys

import foreign_data
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glam_jax.errors import DataError
from glam_jax.own_data import video

REAL = pathlib.Path(__file__).parents[1] / "lerobot_v3"
DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
TOP = "videos/observation.images.top/chunk-000/file-000.mp4"
PROPRIO = ("observation.joint_degrees", "observation.state[7]")

# --- In ---------------------------------------------------------------------------------


def config(root, path=REAL, arm=None, **changes):
    """A config whose sources, with and without actions, are in one LeRobot dataset."""
    columns = {
        "views": {"front": "observation.images.side", "overhead": "observation.images.top"},
        "position": "observation.state[0:3]",
        "rotation": "observation.state[3:7]",
        "gripper": "observation.state[7]",
        "success": "",
    }
    acting = {"proprio": PROPRIO, "action": "action"}
    arms = foreign_data.key_map(path, True, **columns | acting | (arm or {}))
    handheld = foreign_data.key_map(path, False, **columns)
    counts = {"target_episodes": 2, "auxiliary": {"handheld": 2}, "image_size": 48}
    return foreign_data.config(root, arms, handheld, **counts | changes)


def converted(made, source="arm", split="train"):
    """The episodes of a source, converted first."""
    foreign_data.provide(made, source, 2)
    return foreign_data.read(made, source, split)


def picture(t):
    """The middle square of a picture of `foreign_data`, each pixel twice as large."""
    image = np.full((24, 32, 3), 40, np.uint8)
    image[4:12, t : t + 8] = (250, 200, 10)
    return image.repeat(2, 0).repeat(2, 1)[:, 8:56]


def test_what_lerobot_wrote_comes_in(tmp_path):
    made = config(tmp_path)
    found = converted(made) + converted(made, split="heldout")
    assert [len(e) for e in found] == [21, 21, 21] and all(e.success for e in found)
    for index, episode in enumerate(found):
        true, steps = foreign_data.arrays(index), episode.steps
        np.testing.assert_allclose(steps["ee_pose"][:, :3], true["position"], atol=1e-5)
        axes = true["rotation"].as_matrix()[..., :2].transpose(0, 2, 1).reshape(-1, 6)
        np.testing.assert_allclose(steps["ee_pose"][:, 3:9], axes, atol=1e-5)
        np.testing.assert_allclose(steps["ee_pose"][:, 9], true["opening"], atol=1e-5)
        np.testing.assert_allclose(steps["proprio"][:, :7], true["joints"], atol=1e-5)
        np.testing.assert_allclose(steps["action"][:-1, :7], true["joints"][1:], atol=1e-5)
        expected = np.stack([picture(t) for t in range(21)])
        np.testing.assert_array_equal(steps["image_front"], expected)  # PNG
        off = np.abs(steps["image_overhead"].astype(int) - expected)  # AV1, LeRobot's default
        assert off.mean() < 3
    handheld = converted(made, "handheld")[0].steps
    np.testing.assert_array_equal(handheld["ee_pose"], found[0].steps["ee_pose"])
    assert set(found[0].steps) - set(handheld) == {"action", "proprio"}


def test_actions_that_led_to_a_state_are_moved(tmp_path):
    plain = converted(config(tmp_path))[0].steps
    moved = converted(config(tmp_path, arm={"alignment": "ars"}))[0].steps
    np.testing.assert_array_equal(moved["action"], plain["action"][1:])
    np.testing.assert_array_equal(moved["image_front"], plain["image_front"][:-1])


def test_masks_may_be_pictures_or_blurred_videos(tmp_path):
    masks = {"front": "observation.images.side", "overhead": "observation.images.top"}
    steps = converted(config(tmp_path, arm={"masks": masks}))[0].steps
    assert steps["mask_front"].all()  # 40 is above 0, but below half
    bright = np.stack([picture(t)[..., :1] > 128 for t in range(21)])
    assert (steps["mask_overhead"] != bright).mean() < 0.01


# --- Bad inputs -------------------------------------------------------------------------


def change_info(folder, **changes):
    path = folder / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_column(path, name, change):
    """Replaces a column of a file by what `change` makes of its rows."""
    table = pq.read_table(path)
    values = table.column(name).to_pylist()
    change(values)
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, pa.array(values, table.schema.field(at).type)), path)


def assign(index, value):
    return lambda rows: rows.__setitem__(index, value)


def at_another_rate(path):
    made = video.Encoder(path, 15, 48, 64)
    made.write(np.zeros((63, 48, 64, 3), np.uint8))
    made.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda f: change_info(f, codebase_version="v3.1"),
            "info.json: .*_version is 'v3.1'",
        ),
        (lambda f: change_info(f, fps=30), "fps is 30, but rate_hz of the key map is 20"),
        (lambda f: change_info(f, total_episodes=4), "3 episodes, expected 0 to 3"),
        (
            lambda f: change_info(f, features={"action": {}}),
            "'action' is {}, expected dtype",
        ),
        (lambda f: change_info(f, splits={"train": "9"}), "split 'train' is '9'"),
        (lambda f: change_info(f, data_path="../{chunk_index}"), "leads outside"),
        (lambda f: (f / TOP).unlink(), r"file-000.mp4: no such file.*images.top' of episode 0"),
        (lambda f: (f / TOP).write_bytes(b"no video"), "file-000.mp4: not readable as a video"),
        (
            lambda f: at_another_rate(f / TOP),
            r"no frame at 0.0500 s.*15 frames .*expected 20",
        ),
        (lambda f: (f / DATA).unlink(), "file-000.parquet: not readable"),
        (lambda f: (f / DATA).write_bytes(b"PAR1"), "file-000.parquet: not readable"),
        (
            lambda f: change_column(f / EPISODES, "length", assign(1, 20)),
            "episode 1: 21 frames, expected 20",
        ),
        (
            lambda f: change_column(f / DATA, "episode_index", assign(21, 0)),
            "file-000.parquet, episode 0: 22 frames, expected 21",
        ),
        (
            lambda f: change_column(f / DATA, "frame_index", assign(23, 1)),
            "episode 1, column 'frame_index'",
        ),
        (
            lambda f: change_column(f / DATA, "timestamp", assign(23, 0.5)),
            "episode 1, step 2, column 'timestamp': found 0.5000 s, expected 0.1000 s",
        ),
        (
            lambda f: change_column(f / DATA, "observation.state", assign(23, [np.nan] * 8)),
            "train episode 1: key 'observation.state.0:3.': step 2: found .nan",
        ),
        (
            lambda f: change_column(f / DATA, "action", assign(23, None)),
            "episode 1, column 'action': gaps",
        ),
        (
            lambda f: change_column(
                f / DATA, "observation.images.side", assign(2, {"bytes": b"GIF89a", "path": ""})
            ),
            "episode 0, column 'observation.images.side', step 2: not readable as a picture",
        ),
    ],
)
def test_a_bad_dataset_is_named(tmp_path, spoil, words):
    folder = shutil.copytree(REAL, tmp_path / "bad")
    spoil(folder)
    with pytest.raises(DataError, match=words):
        foreign_data.provide(config(tmp_path / "data", folder), episodes=2)
    assert not list((tmp_path / "data").glob("*"))


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (
            {"position": "observation.pose[0:3]"},
            "no column 'observation.pose' .for position.; did you mean observation.state",
        ),
        ({"position": "observation.images.top"}, "holds video, expected numbers for position"),
        ({"views": {"front": "action"}}, "holds float32, expected pictures for im"),
        ({"position": "observation.state[6:9]"}, "8 numbers a step, asked for .6:9"),
        ({"success": "good"}, "no column 'good' .for success."),
        ({"split": "test"}, "no episodes in split 'test'"),
    ],
)
def test_a_wrong_key_map_is_named(tmp_path, arm, words):
    with pytest.raises(DataError, match=words):
        foreign_data.provide(config(tmp_path, arm=arm), episodes=2)


@pytest.mark.parametrize(("library", "module"), [("pyarrow", "parquet"), ("av", "video")])
def test_a_missing_extra_says_how_to_get_it(monkeypatch, library, module):
    monkeypatch.delitem(sys.modules, f"glam_jax.own_data.{module}")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DataError, match=r"pip install -e '.\[lerobot\]'"):
        importlib.import_module(f"glam_jax.own_data.{module}")
