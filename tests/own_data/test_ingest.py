"""Foreign RLDS datasets in both file formats become the project's own, number for number."""

import pathlib
import shutil
import subprocess
import sys
import textwrap

import foreign_data
import numpy as np
import pytest
from PIL import Image

from glam_jax.errors import DataError
from glam_jax.own_data import images

FORMATS = ("tfrecord", "array_record")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """(file format, with actions) -> folder of a foreign dataset."""
    root = tmp_path_factory.mktemp("foreign")
    return {
        (kind, acts): foreign_data.write(root, f"lab_{kind}_{acts}".lower(), acts, kind)
        for kind in FORMATS
        for acts in (True, False)
    }


@pytest.fixture
def make(foreign, tmp_path):
    """(file format, changes of the arm's key map, changes of the rest) -> config."""

    def make(kind="tfrecord", arm=None, **changes):
        arm = foreign_data.key_map(foreign[kind, True], True, **(arm or {}))
        handheld = foreign_data.key_map(foreign[kind, False], False)
        return foreign_data.config(tmp_path / "data", arm, handheld, **changes)

    return make


def read(config, source, split="train"):
    return foreign_data.read(config, source, split)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_comes_in_is_what_was_meant(make, kind):
    config = make(kind)
    for source in ("arm", "handheld"):
        assert foreign_data.provide(config, source, 4)["converted"]
        assert not foreign_data.provide(config, source, 4)["converted"]
    found = read(config, "arm")
    assert [e.seed for e in found] == [0, 1, 2, 3]
    assert [e.success for e in found] == [True, False, True, True]
    assert [e.seed for e in read(config, "arm", "heldout")] == [4]
    for index, episode in enumerate(found):
        true = foreign_data.arrays(index)
        pose = episode.steps["ee_pose"]
        np.testing.assert_allclose(pose[:, :3], true["position"], atol=1e-5)
        matrix = true["rotation"].as_matrix()
        np.testing.assert_allclose(pose[:, 3:6], matrix[..., 0], atol=1e-5)
        np.testing.assert_allclose(pose[:, 6:9], matrix[..., 1], atol=1e-5)
        np.testing.assert_allclose(pose[:, 9], true["opening"], atol=1e-5)
        np.testing.assert_allclose(episode.steps["proprio"][:, :7], true["joints"], atol=1e-5)
        np.testing.assert_allclose(episode.steps["proprio"][:, 7], true["opening"], atol=1e-5)
        np.testing.assert_allclose(episode.steps["action"][:-1, :7], true["joints"][1:], atol=1e-5)
    assert read(config, "handheld")[0].steps.keys() == set(found[0].steps) - {"action", "proprio"}
    # Step 8 of 24 x 32 pixels: the middle 24 columns, of which the square fills 4 to 11.
    image = found[0].steps["image_front"][8]
    assert image.shape == (16, 16, 3)
    assert (image[4:7, 4:7] == (250, 200, 10)).all() and (image[10:] == 40).all()


def test_half_the_rate_takes_every_second_step_and_the_last_command(make):
    config = make(rate_hz=foreign_data.RATE / 2)
    foreign_data.provide(config)
    true, found = foreign_data.arrays(0), read(config, "arm")[0].steps
    assert len(found["ee_pose"]) == 11
    np.testing.assert_allclose(found["ee_pose"][:, :3], true["position"][::2], atol=1e-5)
    # The last command before step 2 k + 2 was given at 2 k + 1 and was to be there at 2 k + 2.
    np.testing.assert_allclose(found["action"][:-1, :7], true["joints"][2::2], atol=1e-5)


def test_an_action_stored_with_the_state_it_led_to_is_moved(make):
    plain, moved = make(), make(arm={"alignment": "ars"})
    foreign_data.provide(plain)
    expected = read(plain, "arm")[0].steps
    foreign_data.provide(moved)
    found = read(moved, "arm")[0].steps
    np.testing.assert_array_equal(found["action"], expected["action"][1:])
    np.testing.assert_array_equal(found["ee_pose"], expected["ee_pose"][:-1])


def test_another_key_map_converts_anew(make):
    foreign_data.provide(make())
    config = make(arm={"base_position": (1.0, 0.0, 0.0)})
    assert foreign_data.provide(config)["converted"]
    position = foreign_data.arrays(0)["position"] + [1, 0, 0]
    np.testing.assert_allclose(read(config, "arm")[0].steps["ee_pose"][:, :3], position, atol=1e-5)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"path": "/nowhere"}, ("/nowhere", "no such file or folder")),
        ({"position": "observation/stat[0:3]"}, ("observation/stat", "observation/state")),
        ({"position": "observation/state[6:9]"}, ("observation/state", "8 numbers", "[6:9]")),
        ({"position": "observation/state[0:2]"}, ("episode 0", "2 numbers", "expected 3")),
        ({"rotation": "observation/state[0:4]"}, ("episode 0", "step 0", "length")),
        ({"split": "test"}, ("'test'", "train")),
        ({"action": ("action/joints",)}, ("action/joints", "7 numbers", "expected 8")),
        ({"success": "good"}, ("good", "episode_metadata/success")),
    ],
)
def test_a_wrong_key_map_is_named(make, arm, words):
    with pytest.raises(DataError) as error:
        foreign_data.provide(make(arm=arm))
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_nan_is_named_with_episode_and_step(make, tmp_path, kind):
    def spoil(index, state):
        if index == 2:
            state[7, 1] = np.nan

    path = foreign_data.write(tmp_path, "spoilt", True, kind, spoil)
    with pytest.raises(DataError, match="train episode 2.*step 7: found"):
        foreign_data.provide(make(arm={"path": str(path)}))
    assert not list((tmp_path / "data").glob("*"))


def test_an_action_that_starts_no_transition_may_be_anything(make, tmp_path):
    def last_action_is_nan(index, steps):
        steps[-1]["action"] = {
            name: np.full_like(a, np.nan) for name, a in steps[-1]["action"].items()
        }

    path = foreign_data.write(tmp_path, "nan", True, "tfrecord", change=last_action_is_nan)
    plain, config = make(), make(arm={"path": str(path)})
    foreign_data.provide(plain)
    expected = [episode.steps["action"][:-1] for episode in read(plain, "arm")]
    foreign_data.provide(config)
    for episode, actions in zip(read(config, "arm"), expected, strict=True):
        np.testing.assert_array_equal(episode.steps["action"][:-1], actions)


def test_more_episodes_than_there_are_is_an_error(make):
    with pytest.raises(DataError, match="5 episodes; 6 are wanted"):
        foreign_data.provide(make(), episodes=5)


@pytest.mark.slow
def test_tensorflow_loads_on_this_path_only():
    code = (
        "import sys\n"
        "from glam_jax.experiment import experiment\n"
        "from glam_jax.own_data import __main__\n"
        "assert not {'tensorflow', 'rlds', 'pyarrow', 'av', 'h5py', 'zarr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- Masks ------------------------------------------------------------------------------


def test_masks_by_colour_and_by_a_segmenter_are_those_that_would_be_stored(make, tmp_path):
    folder = tmp_path / "masks"
    for episode in range(5):
        (place := folder / "train" / f"{episode:06d}" / "front").mkdir(parents=True)
        for step, mask in enumerate(foreign_data.masks()):
            Image.fromarray(mask.astype(np.uint8) * (1 + step)).save(place / f"{step:06d}.png")
    by_colour = make(arm={"mask_colours": {"front": foreign_data.SQUARE}})
    report = foreign_data.provide(by_colour)
    assert report["masks"] == [
        {"view": "front", "object": "square", "episodes": "5", "steps": "105"}
        | {"seen": "100.0%", "held": "0.0%", "empty": "0.0%", "without": "0"}
    ]
    expected = np.stack([images.square_mask(mask, 16, "crop") for mask in foreign_data.masks()])
    by_files = make(arm={"mask_folder": {"front": str(folder)}})
    for config in (by_colour, by_files):
        foreign_data.provide(config)
        for episode in read(config, "arm"):
            np.testing.assert_array_equal(episode.steps["mask_front"], expected)
    # Other colours are another key map.
    other = {"square": foreign_data.SQUARE["square"] | {"hue": (30, 70)}}
    config = make(arm={"mask_colours": {"front": other}})
    assert foreign_data.provide(config)["converted"]


def test_a_colour_that_no_episode_has_is_an_error(make, tmp_path):
    green = {"square": {"hue": (100, 140), "saturation": (0.5, 1)}}
    config = make(arm={"mask_colours": {"front": green}})
    with pytest.raises(DataError, match="front: square not seen in any of 4 episodes"):
        foreign_data.provide(config)
    assert not list((tmp_path / "data").glob("*"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "masks: no such folder"),
        (
            lambda f: shutil.rmtree(f / "train/000004"),
            "000004/front: no such folder.* of 1 episodes",
        ),
        (lambda f: (f / "train/000001/front/000020.png").unlink(), "000020.png: no such file"),
        (
            lambda f: (f / "train/000001/front/000003.png").write_bytes(b"\x89PNG"),
            "000001/front/000003.png: not readable as a PNG",
        ),
        (
            lambda f: Image.new("L", (16, 16)).save(f / "train/000001/front/000003.png"),
            r"000003.png: \(16, 16\) pixels, expected \(24, 32\)",
        ),
    ],
)
def test_what_is_wrong_with_a_segmenters_masks_is_named(make, tmp_path, spoil, words):
    folder = tmp_path / "masks"
    for episode in range(5):
        (place := folder / f"train/{episode:06d}/front").mkdir(parents=True)
        for step in range(foreign_data.STEPS):
            Image.new("1", (32, 24), 1).save(place / f"{step:06d}.png")
    spoil(folder)
    with pytest.raises(DataError, match=words):
        foreign_data.provide(make(arm={"mask_folder": {"front": str(folder)}}))
    assert not list((tmp_path / "data").glob("*"))


# --- Kills ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_while_converting_leaves_nothing_half_written(make, foreign, tmp_path):
    """The earlier dataset, of another key map, stays until the new one is whole."""
    config = make()
    foreign_data.provide(config)
    before = {e.steps["ee_pose"].tobytes() for e in read(config, "arm")}
    moved = {"base_position": (1.0, 0.0, 0.0)}
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(pathlib.Path(__file__).parents[1])!r})
        import foreign_data
        from glam_jax.own_data.convert import Converter
        plain, calls = Converter.episode, []
        def dying(*given):
            calls.append(given)
            return plain(*given) if len(calls) < 3 else os.kill(os.getpid(), signal.SIGKILL)
        Converter.episode = dying
        arm = foreign_data.key_map({str(foreign["tfrecord", True])!r}, True, **{moved!r})
        hand = foreign_data.key_map({str(foreign["tfrecord", False])!r}, False)
        config = foreign_data.config({str(tmp_path / "data")!r}, arm, hand)
        foreign_data.provide(config)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert {e.steps["ee_pose"].tobytes() for e in read(config, "arm")} == before
    config = make(arm=moved)
    assert foreign_data.provide(config)["converted"]
    assert not {e.steps["ee_pose"].tobytes() for e in read(config, "arm")} & before
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["reach_arm_16px"]
