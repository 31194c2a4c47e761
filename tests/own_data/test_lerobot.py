"""What LeRobot's own writers made comes in; what is wrong with it is named."""

import importlib
import json
import sys

import foreign_data
import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot_files import (
    DATA,
    EPISODES,
    FIRST,
    FIRST_TOP,
    REAL,
    TOP,
    add_episode_column,
    add_frame_column,
    as_h264,
    assign,
    change_column,
    change_info,
    dataset,
)

from glam_jax.errors import DataError
from glam_jax.own_data import video

VIDEO = "videos/observation.images.top"
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


@pytest.mark.parametrize("codec", ["av1", "h264"])
@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
def test_what_lerobot_wrote_comes_in(tmp_path, version, codec):
    folder = dataset(tmp_path / "stored", version)
    if codec == "h264":  # LeRobot's default is AV1
        for path in folder.glob("videos/*/*/*.mp4"):
            as_h264(path)
    made = config(tmp_path / "data", folder)
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
        off = np.abs(steps["image_overhead"].astype(int) - expected)
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


def move_last_episode(folder, named):
    """Puts the rows of episode 2 into a file of their own, where the table names another one."""
    table = pq.read_table(folder / DATA)
    pq.write_table(table.slice(0, 42), folder / DATA)
    pq.write_table(table.slice(42), folder / DATA.replace("file-000", "file-001"))
    change_column(folder / EPISODES, "data/file_index", assign(2, named))


def drop_ranges(folder):
    table = pq.read_table(folder / EPISODES)
    kept = table.drop_columns(["dataset_from_index", "dataset_to_index"])
    pq.write_table(kept, folder / EPISODES)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: move_last_episode(f, named=0),  # it has no such rows
        lambda f: move_last_episode(f, named=7),  # there is no such file
        drop_ranges,
    ],
)
def test_rows_are_found_wherever_they_lie(tmp_path, change):
    folder = dataset(tmp_path / "stored")
    change(folder)
    made, plain = config(tmp_path / "a", folder), config(tmp_path / "b")
    for split in ("train", "heldout"):
        assert_same(converted(made, split=split), converted(plain, split=split))


def assert_same(episodes, others):
    for one, other in zip(episodes, others, strict=True):
        for name, values in other.steps.items():
            np.testing.assert_array_equal(one.steps[name], values, name)


def test_a_split_that_is_too_long_is_cut(tmp_path, caplog):
    folder = dataset(tmp_path / "stored")
    change_info(folder, splits={"train": "0:2", "test": "2:9"})
    changes = {"split": "train", "heldout_split": "test"}
    assert len(converted(config(tmp_path / "data", folder, arm=changes), split="heldout")) == 1
    assert "split 'test' is '2:9', of 3 episodes" in caplog.text


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("key", ["tasks", "language_instruction"])
def test_episodes_are_chosen_by_their_instruction(tmp_path, version, key):
    folder = dataset(tmp_path / "stored", version)
    add_frame_column(folder, "language_instruction", "string", lambda e, t: f"reach {e % 2}")
    chosen = {"text": key, "text_has": "Reach 0"}
    made = config(tmp_path / "data", folder, arm=chosen)
    report = foreign_data.provide(made, episodes=1)
    assert report["left_out"] == {"another instruction": 1}
    found = foreign_data.read(made) + foreign_data.read(made, split="heldout")
    assert [e.instruction for e in found] == ["reach 0"] * 2
    assert [e.seed for e in found] == [0, 2]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("key", ["next.success", "success"])
def test_episodes_are_chosen_by_their_success(tmp_path, version, key):
    folder = dataset(tmp_path / "stored", version)
    add_frame_column(folder, "next.success", "bool", lambda e, t: e != 1 and t == 20)
    add_episode_column(folder, "success", [True, False, True])
    for include in (False, True):
        chosen = {"success": key, "include_failed": include}
        made = config(tmp_path / str(include), folder, arm=chosen)
        report = foreign_data.provide(made, episodes=2 if include else 1)
        assert report["left_out"] == ({} if include else {"failed": 1})
    assert [e.success for e in foreign_data.read(made)] == [True, False]


# --- Bad episodes -----------------------------------------------------------------------


def shift(path, row, frames):
    """Moves a timestamp by so many frames."""

    def change(times):
        times[row] += frames / 20

    change_column(path, "timestamp", change)


@pytest.mark.parametrize(
    ("version", "spoil", "bad", "words"),
    [
        ("v2.1", lambda f: as_h264(f / FIRST_TOP, leave_out=1), 0, "ends after 20 of 21 frames"),
        ("v3.0", lambda f: as_h264(f / TOP, leave_out=1), 2, "ends after 20 of 21 frames"),
        ("v2.0", lambda f: (f / FIRST).unlink(), 0, "episode_000000.parquet: not readable"),
        ("v2.1", lambda f: shift(f / FIRST, 3, 0.6), 0, "step 3, column 'timestamp': found 0.18"),
        ("v3.0", lambda f: shift(f / DATA, 3, 0.6), 0, "step 3, column 'timestamp': found 0.18"),
        ("v3.0", lambda f: shift(f / DATA, 3, np.nan), 0, "'timestamp': found nan s"),
    ],
)
def test_bad_episodes_are_skipped(tmp_path, version, spoil, bad, words):
    folder = dataset(tmp_path / "stored", version)
    add_frame_column(folder, "next.success", "bool", lambda e, t: t == 20)
    spoil(folder)
    changes = {"on_bad": "skip", "timestamp_tolerance": 0.5}
    success = {"success": "next.success", "include_failed": False}  # looked for before
    made = config(tmp_path / "data", folder, arm=changes | success)
    report = foreign_data.provide(made, episodes=1)
    assert len(report["skipped"]) == 1 and words in report["skipped"][0]
    found = foreign_data.read(made) + foreign_data.read(made, split="heldout")
    assert [e.seed for e in found] == [n for n in range(3) if n != bad]


@pytest.mark.parametrize("tolerance", [0.5, 1.0])
def test_a_tolerance_admits_inexact_times_and_changes_nothing_else(tmp_path, tolerance):
    folder = dataset(tmp_path / "stored")
    shift(folder / DATA, 24, 0.4)
    change_column(folder / EPISODES, f"{VIDEO}/from_timestamp", assign(1, 1.045))
    made = config(tmp_path / "a", folder, arm={"timestamp_tolerance": tolerance})
    assert_same(converted(made), converted(config(tmp_path / "b")))


# --- Bad datasets -----------------------------------------------------------------------


def change_feature(folder, name, **changes):
    features = json.loads((folder / "meta/info.json").read_text())["features"]
    change_info(folder, features=features | {name: features[name] | changes})


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
        (
            # As the first datasets of v2.0 have it.
            lambda f: change_feature(
                f, VIDEO[7:], info=None, video_info={"video.is_depth_map": True}
            ),
            "'observation.images.top' holds video of depth, expected pictures for image_overhead",
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
    folder = dataset(tmp_path / "bad")
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
        ({"success": "observation.images.side"}, "holds image, expected numbers for success"),
        ({"success": "tasks"}, "tasks is .'reach 0'., expected true or false for success"),
        ({"text": "task_index"}, "holds int64, expected texts for text"),
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
