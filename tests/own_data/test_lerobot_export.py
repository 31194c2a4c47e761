"""Datasets that go out in LeRobot's format come in again, numbers and PNG bit by bit."""

import json
import pathlib

import commands
import foreign_data
import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot_files import DATA, EPISODES, REAL
from scipy.spatial.transform import Rotation

from glam_jax.data import dataset
from glam_jax.data.recording import Recording
from glam_jax.errors import DataError
from glam_jax.own_data import ingest
from glam_jax.own_data.lerobot import exported, stats, writer
from glam_jax.schema import Layout, fake_episode

ROOT = pathlib.Path(__file__).parents[2]
RATE = 20


def proper(layout, length, seed):
    """A random episode whose poses are ones, with smooth pictures."""
    episode = fake_episode(layout, length, seed, source="lab")
    rng = np.random.default_rng(seed)
    pose = episode.steps["ee_pose"].reshape(length, layout.arms, 10)
    turns = Rotation.random(length * layout.arms, rng).as_matrix()
    pose[..., 3:9] = turns[..., :2].transpose(0, 2, 1).reshape(length, layout.arms, 6)
    pose[..., 9] = rng.uniform(0, 1, (length, layout.arms))
    ramp = np.linspace(0, 200, layout.image_size)
    for view, colour in (("front", (1, 0.5, 0.1)), ("overhead", (0.2, 1, 0.7))):
        frames = (ramp[:, None] * 0.6 + ramp * 0.4)[None] + 2 * np.arange(length)[:, None, None]
        episode.steps[f"image_{view}"] = (frames[..., None] * colour).astype(np.uint8)
    episode.success = seed != 1
    return episode


def written(root, layout, rate=RATE, views=None):
    """(folder, recording) of a dataset with episodes of 5 to 8 steps."""
    about = {"rate_hz": float(rate), "action_kind": "joint_positions"}
    about |= {"made_from": {"views": views, "masks": views}} if views else {}
    recording = Recording("lifting", "lab", layout, about)
    made = {"train": range(3), "heldout": range(3, 4)}
    made = {split: [proper(layout, 5 + i, i) for i in seeds] for split, seeds in made.items()}
    return dataset.write(root, recording, made), recording


def again(path, root):
    """{split: episodes} of an export, converted."""
    about = exported.read(path)
    ingest.ingest(root, *about, count=None, heldout=None)
    recording = ingest.recording_of(*about)
    folder = dataset.dataset_path(root, recording)
    counts = dataset.count(folder, recording)
    return {s: dataset.read(folder, s, recording) for s, n in counts.items() if n}


def assert_same(found, folder, recording, but=()):
    for split, episodes in found.items():
        expected = dataset.read(folder, split, recording)
        assert len(episodes) == len(expected)
        for one, other in zip(episodes, expected, strict=True):
            assert one.success == other.success and set(one.steps) == set(other.steps)
            for name in set(one.steps) - set(but):
                np.testing.assert_array_equal(one.steps[name], other.steps[name], name)


LAYOUTS = [
    Layout(1, 16, True),
    Layout(2, 16, True, arm_proprio=3, arm_action=2),
    Layout(1, 16, True, arm_proprio=1, arm_action=1),  # LeRobot stores single numbers bare
    Layout(1, 16, False),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_pictures_and_numbers_are_the_same_after_a_round_trip(tmp_path, layout):
    folder, recording = written(tmp_path / "data", layout)
    out = tmp_path / "out"
    report = writer.export(folder, recording, RATE, out)
    assert report["episodes"] == {"train": 3, "heldout": 1} and report["frames"] == 5 + 6 + 7 + 8
    assert_same(again(out, tmp_path / "again"), folder, recording)


@pytest.mark.parametrize(
    ("limit_mb", "files", "starts"), [(-1, [0, 1, 2, 3], [0] * 4), (9, [0] * 4, [0, 5, 11, 18])]
)
def test_videos_are_nearly_the_same_after_a_round_trip(
    tmp_path, monkeypatch, limit_mb, files, starts
):
    monkeypatch.setattr(writer, "VIDEO_MB", limit_mb)
    monkeypatch.setattr(writer, "DATA_MB", limit_mb)
    folder, recording = written(tmp_path / "data", Layout(1, 32, True))
    out = tmp_path / "out"
    writer.export(folder, recording, RATE, out, as_video=True)
    rows = pq.read_table(out / EPISODES).to_pydict()
    front = "videos/observation.images.front"
    assert rows["data/file_index"] == rows[f"{front}/file_index"] == files
    np.testing.assert_allclose(rows[f"{front}/from_timestamp"], np.array(starts) / RATE)
    found = again(out, tmp_path / "again")
    images = ("image_front", "image_overhead")
    assert_same(found, folder, recording, but=images)
    for episode, other in zip(
        found["train"], dataset.read(folder, "train", recording), strict=True
    ):
        for name in images:
            off = np.abs(episode.steps[name].astype(int) - other.steps[name])
            assert off.mean() < 2 and np.quantile(off, 0.99) < 8


def test_what_describes_an_export_is_lerobots(tmp_path):
    folder, recording = written(tmp_path / "data", Layout(1, 16, True))
    out = tmp_path / "out"
    writer.export(folder, recording, RATE, out)
    # The files of LeRobot's own writer have these columns, of these types, and more.
    schema, real = pq.read_schema(out / DATA), pq.read_schema(REAL / DATA)
    for name in ("action", "timestamp", "frame_index", "episode_index", "index", "task_index"):
        assert schema.field(name).type == real.field(name).type, name
    side = real.field("observation.images.side").type
    assert schema.field("observation.images.front").type == side
    rows, real = pq.read_schema(out / EPISODES), pq.read_schema(REAL / EPISODES)
    summed = {name for name in real.names if name.startswith("stats/action/")}
    others = {name for name in real.names if not name.startswith(("stats/", "videos/"))}
    assert summed | others <= set(rows.names)
    assert {rows.field(n).type == real.field(n).type for n in summed | others} == {True}
    shape = (3, 1, 1)
    stored = json.loads((out / "meta/stats.json").read_text())
    assert np.shape(stored["observation.images.front"]["mean"]) == shape
    # pandas finds the texts of the tasks as an index.
    described = json.loads(pq.read_schema(out / "meta/tasks.parquet").metadata[b"pandas"])
    assert described["index_columns"] == ["task"]


def test_statistics_by_hand():
    numbers = np.float32([[1, 10], [3, 20]])
    kept = stats.join([stats.gather(n[None]) for n in numbers], picture=False)
    found = stats.summary(kept, False, 2)
    assert (found["min"], found["mean"], found["std"]) == ([1, 10], [2, 15], [1, 5])
    assert found["q50"] == [2, 15] and found["count"] == [2]
    pictures = np.zeros((2, 1, 2, 3), np.uint8)
    pictures[0, ..., 1], pictures[..., 2] = 255, 51
    found = stats.summary(stats.gather(pictures), True, 2)
    np.testing.assert_allclose(np.ravel(found["mean"]), [0, 0.5, 0.2])
    np.testing.assert_allclose(np.ravel(found["std"]), [0, 0.5, 0], atol=1e-7)
    np.testing.assert_allclose(np.ravel(found["q90"]), [0, 1, 0.2])


def test_a_killed_or_failed_export_leaves_nothing(tmp_path, monkeypatch):
    folder, recording = written(tmp_path / "data", Layout(1, 16, True))
    out = tmp_path / "out"
    (tmp_path / "out.writing" / "data").mkdir(parents=True)  # what a killed one left

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(writer.Writer, "finish", fail)
        writer.export(folder, recording, RATE, out)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    writer.export(folder, recording, RATE, out)
    with pytest.raises(DataError, match="is there already"):
        writer.export(folder, recording, RATE, out)
    with pytest.raises(DataError, match="12.5 Hz, expected a whole number"):
        writer.export(folder, recording, 12.5, tmp_path / "other")
    with pytest.raises(DataError, match="15 x 15, videos need even sides"):
        odd = written(tmp_path / "odd", Layout(1, 15, True))
        writer.export(*odd, RATE, tmp_path / "other", as_video=True)
    assert not list(tmp_path.glob("other*"))


def test_what_is_no_export_needs_a_key_map():
    with pytest.raises(DataError, match="no export of glam_jax; .*--config"):
        exported.read(REAL)


# --- Commands ---------------------------------------------------------------------------


def test_the_commands(tmp_path, capsys):
    def printed(*arguments):
        commands.run("glam_jax.own_data.__main__", *map(str, arguments))
        return json.loads(capsys.readouterr().out)

    _, recording = written(tmp_path / "data", Layout(1, 16, True))
    out, again = tmp_path / "out", tmp_path / "again"
    assert printed("export", "lerobot", tmp_path / "data" / recording.name, out)["frames"] == 26
    found = printed("convert", "lerobot", out, again)
    assert found["episodes"] == {"train": 3, "heldout": 1}
    assert found["dataset"].startswith(str(again / recording.name))
    keys = foreign_data.key_map("", True)
    flags = {
        f"config.own.sources.my_arm.{name}": keys[name]
        for name in ("rate_hz", "position_unit", "rotation_form", "gripper_closed", "gripper_open")
    }
    flags |= {f"config.own.sources.my_arm.{k}.overhead": "" for k in ("views", "masks")}
    flags |= {
        "config.own.sources.my_arm.views.front": "observation.images.top",
        "config.own.sources.my_arm.position": "('observation.state[0:3]',)",
        "config.own.sources.my_arm.rotation": "('observation.state[3:7]',)",
        "config.own.sources.my_arm.gripper": "('observation.state[7]',)",
        "config.own.sources.my_arm.proprio": "('observation.joint_degrees', 'action[7]')",
        "config.own.sources.my_arm.action": "('action',)",
        "config.own.rate_hz": 20.0,
        "config.data.heldout_episodes": 1,
    }
    found = printed(
        *("convert", "lerobot", REAL, tmp_path / "real"),
        *(f"--config={ROOT}/configs/own_data.py", "--source=my_arm"),
        *(f"--{name}={value}" for name, value in flags.items()),
    )
    assert found["episodes"] == {"train": 2, "heldout": 1}
