"""Inspection: sound data pass, and every kind of fault is named with its episode and step."""

import re

import commands
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glam_jax.data import dataset
from glam_jax.data.recording import Recording
from glam_jax.errors import DataError
from glam_jax.inspect import checks, report
from glam_jax.own_data import rotations
from glam_jax.schema import Episode, Layout, fake_episode

STEPS, RATE = 20, 10.0


def recording(source="arm", has_actions=True, cameras="table 1", **about):
    about = {"rate_hz": RATE, "action_kind": "joint_positions"} | about
    return Recording("reach", source, Layout(1, 8, has_actions), about, cameras)


def sound(kind, seed):
    """A smooth episode whose actions are the joints that follow."""
    made = fake_episode(kind.layout, STEPS, seed, "reach", kind.source)
    t = np.linspace(0, 1, STEPS)
    turn = rotations.six(Rotation.from_euler("xyz", np.stack([t, 1 - t, 2 * t], 1)).as_matrix())
    position = np.stack([0.4 + 0.2 * t, 0.1 * np.sin(4 * t + seed), 0.3 * t], 1)
    made.steps["ee_pose"] = np.concatenate([position, turn, t[:, None]], 1).astype(np.float32)
    if kind.layout.has_actions:
        joints = (t[:, None] * np.linspace(-1, 1.5, 8) + 0.1 * seed).astype(np.float32)
        made.steps["proprio"] = joints
        made.steps["action"] = np.concatenate([joints[1:], joints[-1:]])
    return Episode(made.steps, "reach", kind.source, seed, True, "recorded", kind.cameras)


def write(root, kind=None, change=None):
    """Writes three training episodes, the second one changed, and one held out."""
    kind = kind or recording()
    made = [sound(kind, seed) for seed in range(4)]
    if change:
        change(made[1].steps)
    return dataset.write(root, kind, {"train": made[:3], "heldout": made[3:]})


def test_sound_sources_pass_and_are_shown(tmp_path, capsys):
    write(tmp_path, recording())
    write(tmp_path, recording("hand", has_actions=False))
    errors, warnings = report.inspect([tmp_path])
    assert errors == [] and warnings == []
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("arm ")).split()
    assert row[1:8] == ["3", "1", "0", "80", "20", "20", "10"]
    assert re.search(r"ee_pose\[0\] x +0.4 +0.6 +0.5 ", printed)
    page = (tmp_path / "inspection.html").read_text()
    assert page.count("data:image/png;base64,") == 4  # paths, two strips, one histogram
    assert "src='http" not in page


def spoil_rotation(steps):
    steps["ee_pose"][6, 3:6] *= 1.5


def spoil_opening(steps):
    steps["ee_pose"][4, 9] = 1.5


def spoil_value(steps):
    steps["action"][5, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoil_rotation, "train episode 1, step 6, key 'ee_pose': rotation of arm 0"),
        (spoil_opening, "train episode 1, step 4, key 'ee_pose': opening of arm 0 is 1.5"),
        (spoil_value, "train episode 1, step 5, key 'action': found nan"),
    ],
)
def test_an_error_is_named_with_episode_and_step(tmp_path, monkeypatch, change, words):
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "check_episode", lambda *_: None)
        write(tmp_path, change=change)
    errors, _ = report.inspect([tmp_path])
    (error,) = errors
    assert words in error
    assert words.split(":")[0] in (tmp_path / "inspection.html").read_text().replace("&#x27;", "'")


def jump(steps):
    steps["ee_pose"][10:, 0] += 0.5


def freeze(steps):
    steps["image_front"][3:12] = steps["image_front"][3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (jump, "train episode 1, step 9: gap, arm 0 is 51 cm further"),
        (freeze, "train episode 1, step 3: the front image stands still"),
    ],
)
def test_an_oddity_is_a_warning(tmp_path, change, words):
    write(tmp_path, change=change)
    errors, warnings = report.inspect([tmp_path])
    assert errors == [] and len(warnings) == 1
    assert words in warnings[0]


def test_constant_numbers_black_cameras_and_actions_that_disagree_are_warnings(tmp_path):
    kind = recording()
    made = [sound(kind, seed) for seed in range(2)]
    for episode in made:
        episode.steps["proprio"][:, 7] = 0.25
        episode.steps["image_overhead"][:] = 0
        episode.steps["action"] *= np.float32(180 / np.pi)
    dataset.write(tmp_path, kind, {"train": made[:1], "heldout": made[1:]})
    errors, warnings = report.inspect([tmp_path])
    assert errors == [] and len(warnings) == 3
    for words in ("proprio[7] is always 0.25", "overhead image is always black", "disagree"):
        assert any(words in text for text in warnings), (words, warnings)


def test_cameras_and_rates_that_differ_between_sources_are_errors(tmp_path):
    write(tmp_path, recording())
    write(tmp_path, recording("hand", has_actions=False, cameras="table 2", rate_hz=30.0))
    errors, _ = report.inspect([tmp_path])
    assert len(errors) == 2
    assert "cameras differ" in errors[0] and "table 2" in errors[0]
    assert "rate differ, 10.0 and 30.0" in errors[1]


@pytest.mark.parametrize(
    ("kind", "asked", "misses"),
    [
        ("pose", lambda p: p[1:], 0.0),
        ("pose", lambda p: p[1:] + 0.1, 0.1),
        ("pose_delta", lambda p: np.diff(p, axis=0), 0.0),
        ("pose_delta", lambda p: -np.diff(p, axis=0), None),
    ],
)
def test_actions_are_compared_with_the_motion_that_follows(kind, asked, misses):
    episode = sound(recording(), 0)
    position = episode.steps["ee_pose"][:, :3]
    episode.steps["action"] = np.zeros((STEPS, 7), np.float32)
    episode.steps["action"][:-1, :3] = asked(position)
    found, moves = checks.disagreement(episode, kind)
    expected = 2 * moves.mean() if misses is None else misses
    np.testing.assert_allclose(found.mean(), expected, atol=1e-6)
    assert checks.disagreement(episode, "other") is None


def test_a_folder_without_data_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no dataset there"):
        report.inspect([tmp_path])


def test_the_command_exits_with_1_on_errors(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "check_episode", lambda *_: None)
        folder = write(tmp_path, change=spoil_value)
    with pytest.raises(SystemExit, match="1"):
        commands.run("glam_jax.inspect.__main__", str(folder), f"--out={tmp_path}/p.html")
    assert "train episode 1, step 5, key 'action': found nan" in capsys.readouterr().out
    assert (tmp_path / "p.html").stat().st_size > 1000
