"""What users get wrong ends in one line; what we get wrong keeps its traceback."""

import pathlib
import subprocess
import sys

import commands
import pytest

from glam_jax import config
from glam_jax.errors import DataError, UserError
from glam_jax.experiment.workdir import Workdir
from glam_jax.runtime import entry

ROOT = pathlib.Path(__file__).parents[2]


def raising(error):
    def main(_):
        raise error

    return main


@pytest.fixture(autouse=True)
def bare_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])


def test_errors_of_use_are_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        entry.run(raising(DataError("some/folder: episode 3 is torn")))
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: some/folder: episode 3 is torn\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        entry.run(raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--config=configs/lifting.py:scale=quikc", "did you mean quick?"),
        ("--config=configs/lifting.py --config.pretrain.step=5", "steps"),
    ],
)
@pytest.mark.slow
def test_a_wrong_config_is_one_line_that_helps(argument, hint):
    command = [sys.executable, "-m", "glam_jax.train", *argument.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and hint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("method", "lacks"),
    [("mip", "no world model"), ("lapa_o", "no action decoder in its world model")],
)
def test_a_method_that_decodes_no_latents_cannot_be_replayed(tmp_path, method, lacks):
    Workdir(tmp_path).claim(config.make("lifting", f"method={method}"))
    with pytest.raises(UserError, match=f"{tmp_path}: method {method} has {lacks} to replay with"):
        commands.run("glam_jax.replay", f"--workdir={tmp_path}")
