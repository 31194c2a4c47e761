"""The commands around masks: frames for a segmenter out, and a page of what came in."""

import commands
import foreign_data
import numpy as np
import pytest
from PIL import Image

from glam_jax.errors import ConfigError, DataError
from glam_jax.own_data import images

command = commands.load("glam_jax.own_data.__main__")
CONFIG = """
import foreign_data
def get_config(argument=""):
    keys = foreign_data.key_map({path!r}, True, **{change!r})
    hand = foreign_data.key_map({path!r}, False)
    return foreign_data.config({root!r}, keys, hand, argument, auxiliary={{"handheld": 0}})
"""


def run(name, folder, *arguments, **change):
    """Runs a command on a config for the dataset in `folder`, with changes of its key map."""
    config = folder / "config.py"
    path = str(next(folder.glob("lab/*/dataset_info.json")).parent)
    config.write_text(CONFIG.format(path=path, change=change, root=str(folder / "data")))
    given = (name, f"--config={config}", "--source=arm", *arguments)
    commands.run("glam_jax.own_data.__main__", *given)


def test_frames_go_to_a_segmenter_and_its_masks_come_in(tmp_path, capsys):
    foreign_data.write(tmp_path, "lab", True, "array_record")
    frames, masks = tmp_path / "frames", tmp_path / "masks"
    run("frames", tmp_path, str(frames))
    assert "5 folders written" in capsys.readouterr().out
    paths = sorted(frames.glob("train/*/front/*.jpg"))
    assert len(paths) == len(list(frames.rglob("*.*"))) == 5 * foreign_data.STEPS
    for path in paths:  # what a segmenter would do
        bright = np.asarray(Image.open(path))[..., 0] > 128
        out = (masks / path.relative_to(frames)).with_suffix(".png")
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(bright).save(out)

    keys = foreign_data.key_map(
        next(tmp_path.glob("lab/*")), True, mask_folder={"front": str(masks)}
    )
    config = foreign_data.config(tmp_path / "data", keys, keys)
    foreign_data.provide(config)
    expected = np.stack([images.square_mask(mask, 16, "crop") for mask in foreign_data.masks()])
    for episode in foreign_data.read(config):
        assert (episode.steps["mask_front"] != expected).mean() < 0.01


def test_the_preview_shows_masks_and_counts_them(tmp_path, capsys):
    foreign_data.write(tmp_path, "lab", True, "array_record")
    with pytest.raises(DataError, match="own.sources.arm has no masks"):
        run("masks", tmp_path)
    colours = {"front": foreign_data.SQUARE}
    out = tmp_path / "page.html"
    run("masks", tmp_path, "--episodes=2", f"--out={out}", mask_colours=colours)
    printed = capsys.readouterr().out
    assert "2 of 4 episodes" in printed
    row = next(line for line in printed.splitlines() if line.startswith("front")).split()
    assert row[1:] == ["square", "2", "42", "100.0%", "0.0%", "0.0%", "0"]
    page = out.read_text()
    assert page.count("data:image/png;base64,") == 4 and "train episode 3" in page
    hue = "--config.own.sources.arm.mask_colours.front.square.hue=(100.0, 140.0)"
    run("masks", tmp_path, hue, f"--out={out}", mask_colours=colours)
    said = "warning: train episode 0, front: square not seen in any of 21 steps"
    assert said in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "^name one of ingest, masks, frames, convert, export, or --help"),
        (["mask"], "'mask' is not a command; name one of ingest"),
        (["frames"], r"frames takes OUT, found \[\]; usage: .* frames OUT --config=CONFIG"),
        (["ingest", "x"], r"ingest takes no arguments, found \['x'\]"),
        (["export", "hdf5", "a", "b"], "format 'hdf5' is not known; expected lerobot"),
    ],
)
def test_a_wrong_command_line_is_answered(arguments, message):
    with pytest.raises(ConfigError, match=message):
        command.main(["own_data", *arguments])
