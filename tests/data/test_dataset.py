"""Datasets on disk: what goes in comes out, bad data is refused, and nothing is half-written."""

import dataclasses
import json
import subprocess
import sys
import textwrap

import chex
import numpy as np
import pytest
import tensorflow_datasets as tfds

from glam_jax import files, schema
from glam_jax.data import dataset
from glam_jax.data.recording import Recording, check_episode, describe
from glam_jax.errors import DataError

TARGET = Recording("lifting", "kinova", schema.Layout(1, 8, True))
AUXILIARY = Recording("lifting", "umi", schema.Layout(1, 8, False))


def fake(recording, count, first=0, length=5):
    return [
        schema.fake_episode(recording.layout, length + i, first + i, source=recording.source)
        for i in range(count)
    ]


def assert_same(one, other):
    chex.assert_trees_all_equal(one.steps, other.steps, strict=True)
    for field in ("task", "source", "seed", "success", "simulator_version", "cameras"):
        assert getattr(one, field) == getattr(other, field)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with a target and an auxiliary dataset, not to be changed."""
    root = tmp_path_factory.mktemp("root")
    for recording in (TARGET, AUXILIARY):
        held = {"train": fake(recording, 4), "heldout": fake(recording, 2, 90)}
        dataset.write(root, recording, held)
    return root


@pytest.mark.parametrize("recording", [TARGET, AUXILIARY])
def test_what_is_written_is_read(root, recording):
    folder = dataset.dataset_path(root, recording)
    for split, expected in (("train", fake(recording, 4)), ("heldout", fake(recording, 2, 90))):
        for one, other in zip(dataset.read(folder, split, recording), expected, strict=True):
            assert_same(one, other)
    assert [e.seed for e in dataset.read(folder, "train", recording, limit=2)] == [0, 1]
    assert dataset.last(folder, "train", recording).seed == 3
    assert dataset.count(folder, recording) == {"train": 4, "heldout": 2}
    assert [p.name for p in folder.parent.iterdir()] == ["1.0.0"]


@pytest.mark.parametrize("views", [("wrist",), ("wrist", "front", "left", "right")])
def test_a_dataset_has_as_many_cameras_as_it_says(tmp_path, views):
    layout = schema.Layout(1, 8, True, views=views)
    recording = Recording("lifting", "kinova", layout, cameras="table 1")
    (episode,) = fake(recording, 1)
    episode.simulator_version, episode.cameras = "recorded", "table 1"
    folder = dataset.write(tmp_path, recording, {"train": [episode]})
    found = describe(folder)
    assert found == recording and found.layout.views == tuple(sorted(views))
    (read,) = dataset.read(folder, "train", found)
    assert_same(read, episode)
    with pytest.raises(DataError, match="keys .*'image_front'.* are missing|'image_overhead'"):
        dataset.read(folder, "train", TARGET)


def test_earlier_conversions_say_their_cameras_behind_the_version(tmp_path):
    """And in the key map that they were made from."""
    about = {"made_from": {"cameras": "table 1"}}
    earlier = Recording("lifting", "arm", TARGET.layout, about)
    (episode,) = fake(earlier, 1)
    episode.simulator_version = "recorded, table 1"
    folder = dataset.write(tmp_path, earlier, {"train": [episode]})
    now = Recording("lifting", "arm", TARGET.layout, about, cameras="table 1")
    assert describe(folder) == now
    (read,) = dataset.read(folder, "train", now)
    assert (read.simulator_version, read.cameras) == ("recorded", "table 1")


def test_steps_follow_rlds(root):
    builder = tfds.builder_from_directory(dataset.dataset_path(root, TARGET))
    steps = list(builder.as_data_source(split="train")[1]["steps"])
    assert [s["is_first"] for s in steps] == [True, *[False] * 5]
    for name in ("is_last", "is_terminal"):
        assert [s[name] for s in steps] == [*[False] * 5, True]
    assert [s["reward"] for s in steps] == [0, 0, 0, 0, 0, 1]
    assert [s["discount"] for s in steps] == [1, 1, 1, 1, 1, 0]
    assert steps[0]["language_instruction"] == b"lifting"
    np.testing.assert_array_equal(steps[2]["action"], fake(TARGET, 2)[1].steps["action"][2])


def test_auxiliary_features_hold_no_action_and_no_proprio(root):
    text = (dataset.dataset_path(root, AUXILIARY) / "features.json").read_text()
    assert "ee_pose" in text and "action" not in text and "proprio" not in text


def test_writing_and_reading_do_without_tensorflow(tmp_path):
    """Also more than TFDS would keep in memory."""
    script = f"""
        from importlib.machinery import PathFinder
        find, hidden = PathFinder.find_spec, ("tensorflow",)
        PathFinder.find_spec = lambda name, *at: None if name in hidden else find(name, *at)
        from tensorflow_datasets.core import shuffle
        from glam_jax import schema
        from glam_jax.data import dataset
        from glam_jax.data.recording import Recording
        shuffle.MAX_MEM_BUFFER_SIZE = 0
        recording = Recording("lifting", "kinova", schema.Layout(1, 8, True))
        held = {{"train": [schema.fake_episode(recording.layout, 4)] * 2}}
        folder = dataset.write({str(tmp_path)!r}, recording, held)
        print(len(dataset.read(folder, "train", recording)))
    """
    assert run(script).stdout.strip() == "2"


def run(script):
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def broken(change):
    episode = fake(TARGET, 1)[0]
    change(episode)
    return episode


def set_step(name, value):
    def change(episode):
        episode.steps[name][3] = value

    return change


def set_array(name, value):
    return lambda episode: episode.steps.__setitem__(name, value)


def cut(episode):
    episode.steps = {name: array[:1] for name, array in episode.steps.items()}


BROKEN = {
    "nan": (set_step("action", np.nan), r"episode 0, step 3, key 'action': found nan at \[0\]"),
    "infinite": (set_step("ee_pose", np.inf), "step 3, key 'ee_pose': found inf"),
    "mask": (set_step("mask_front", 255), "step 3, key 'mask_front': found 255, expected 0 or 1"),
    "shape": (
        set_array("proprio", np.zeros((5, 7), np.float32)),
        r"'proprio': .*\(5, 7\).*\(5, 8\)",
    ),
    "dtype": (set_array("proprio", np.zeros((5, 8))), "'proprio': found float64.*float32"),
    "size": (set_array("image_front", np.zeros((5, 9, 9, 3), np.uint8)), "'image_front'.*9, 9, 3"),
    "short": (cut, "1 step.*expected at least 2"),
    "missing": (lambda e: e.steps.pop("action"), "'action'.* missing.*target source must have"),
    "extra": (set_array("depth", np.zeros(5)), r"unexpected keys \['depth'\]"),
    "task": (lambda e: setattr(e, "task", "stack_two"), "task is 'stack_two', expected 'lifting'"),
    "source": (lambda e: setattr(e, "source", "umi"), "source is 'umi', expected 'kinova'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_episodes_are_refused(name):
    change, message = BROKEN[name]
    with pytest.raises(DataError, match=message):
        check_episode(broken(change), TARGET, "folder, train episode 0")


def test_an_auxiliary_source_may_not_have_actions():
    episode = dataclasses.replace(fake(TARGET, 1)[0], source="umi")
    with pytest.raises(DataError, match=r"\['action', 'proprio'\].*auxiliary source must not"):
        check_episode(episode, AUXILIARY, "here")


def test_a_broken_episode_leaves_the_dataset_as_it_was(tmp_path):
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 2)})
    worse = [*fake(TARGET, 3), broken(BROKEN["nan"][0])]
    with pytest.raises(DataError, match="train episode 3, step 3, key 'action'"):
        dataset.write(tmp_path, TARGET, {"train": worse})
    assert len(dataset.read(folder, "train", TARGET)) == 2
    assert [p.name for p in tmp_path.iterdir()] == [TARGET.name]


def test_a_dataset_can_be_extended_from_itself(tmp_path):
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 2)})

    def longer():
        yield from dataset.stream(folder, "train", TARGET)
        yield from fake(TARGET, 1, first=7)

    dataset.write(tmp_path, TARGET, {"train": longer()})
    assert [e.seed for e in dataset.read(folder, "train", TARGET)] == [0, 1, 7]


def test_a_full_disk_leaves_the_dataset_as_it_was(tmp_path):
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 2)})
    script = f"""
        import resource, signal
        from glam_jax import schema
        from glam_jax.data import dataset
        from glam_jax.data.recording import Recording
        recording = Recording("lifting", "kinova", schema.Layout(1, 8, True))
        many = [schema.fake_episode(recording.layout, 200, i) for i in range(4)]
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            dataset.write({str(tmp_path)!r}, recording, {{"train": many}})
        except OSError as error:
            print(error)
    """
    printed = run(script).stdout
    assert "File too large while writing" in printed and "is as it was before" in printed
    assert len(dataset.read(folder, "train", TARGET)) == 2
    assert [p.name for p in tmp_path.iterdir()] == [TARGET.name]


def test_a_kill_while_writing_leaves_the_dataset_as_it_was(tmp_path):
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 2)})
    script = f"""
        import os, signal
        from glam_jax import schema
        from glam_jax.data import dataset
        from glam_jax.data.recording import Recording
        recording = Recording("lifting", "kinova", schema.Layout(1, 8, True))
        def dying():
            yield schema.fake_episode(recording.layout, 5)
            os.kill(os.getpid(), signal.SIGKILL)
        dataset.write({str(tmp_path)!r}, recording, {{"train": dying()}})
    """
    with pytest.raises(subprocess.CalledProcessError):
        run(script)
    assert len(list(folder.parent.iterdir())) == 2
    assert len(dataset.read(folder, "train", TARGET)) == 2
    dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 3)})
    assert len(dataset.read(folder, "train", TARGET)) == 3
    assert [p.name for p in tmp_path.iterdir()] == [TARGET.name]


def test_a_kill_between_the_renames_is_recovered(tmp_path):
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 2)})
    folder.rename(folder.with_name("1.0.0.previous"))
    with pytest.raises(DataError, match="earlier copy"):
        dataset.read(folder, "train", TARGET)
    files.recover(folder)
    assert len(dataset.read(folder, "train", TARGET)) == 2


def test_missing_and_half_written_folders(tmp_path):
    with pytest.raises(DataError, match="no such folder.*found nothing"):
        dataset.read(tmp_path / "a" / "1.0.0", "train", TARGET)
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 2)})
    other = folder.rename(folder.with_name("0.9.0"))
    with pytest.raises(DataError, match=r"1.0.0: no such folder.*found versions \['0.9.0'\]"):
        dataset.read(folder, "train", TARGET)
    other.rename(folder)
    (shard,) = folder.glob("*train*")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="train episode 0: damaged or half-written"):
        dataset.read(folder, "train", TARGET)
    shard.unlink()
    with pytest.raises(DataError, match="train episode 0: damaged or half-written"):
        dataset.read(folder, "train", TARGET)
    (folder / "features.json").write_text("{")
    with pytest.raises(DataError, match="description is damaged"):
        dataset.read(folder, "train", TARGET)
    (folder / "features.json").unlink()
    with pytest.raises(DataError, match=r"half-written.*\['features.json'\] missing"):
        dataset.read(folder, "train", TARGET)


@pytest.mark.parametrize(
    "key, value", [("schema_version", "0.1.0"), ("task", "stack_two"), ("source", "kinova_real")]
)
def test_a_dataset_of_another_kind(tmp_path, key, value):
    folder = dataset.write(tmp_path, TARGET, {"train": fake(TARGET, 1)})
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DataError, match=f"{key} is '{value}', expected '"):
        dataset.read(folder, "train", TARGET)


def test_a_dataset_of_another_layout(root):
    folder = dataset.dataset_path(root, TARGET)
    larger = Recording("lifting", "kinova", schema.Layout(1, 16, True))
    with pytest.raises(DataError, match="image_size is 8, expected 16"):
        dataset.read(folder, "train", larger)
    without = dataset.dataset_path(root, AUXILIARY)
    with pytest.raises(DataError, match="'action'.*missing.*target source must have"):
        target = Recording("lifting", "umi", schema.Layout(1, 8, True))
        dataset.read(without, "train", target)


def test_fewer_episodes_than_asked(root):
    with pytest.raises(DataError, match="'train' has 4 episodes, expected at least 5"):
        dataset.read(dataset.dataset_path(root, TARGET), "train", TARGET, limit=5)
