"""What users get wrong ends in one line; what we get wrong keeps its traceback."""

import pathlib
import subprocess
import sys

import commands
import pytest
from absl import app

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
    ("code", "said"),
    [
        (
            "def get_config(argument=''):\n    return 1 / 0",
            ", line 2: ZeroDivisionError: division",
        ),
        ("import json\njson.loads('{')\n", ", line 2: JSONDecodeError: Expecting property name"),
        ("def get_config(", ", line 1: SyntaxError: '(' was never closed"),
        ("x = 1", ": AttributeError: module 'config_file' has no attribute 'get_config'"),
        ("def get_config(argument=''):\n    return {}", ": get_config gives {}; expected a Config"),
        (
            "def get_config():\n    return {}",
            ": TypeError: get_config() takes 0 positional",
        ),
    ],
)
def test_a_config_file_that_fails_is_named_with_its_line(tmp_path, code, said):
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(entry.ConfigFileError) as error:
        entry.ConfigFile().parse(f"{path}:quick")
    assert str(error.value).startswith(f"{path}{said}") and "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["configs/lifing.py", "configs", ""])
def test_a_config_file_that_is_not_there_is_named(path):
    expected = f"^--config: there is no file '{path}'; see the folder configs/$"
    with pytest.raises(entry.ConfigFileError, match=expected):
        entry.ConfigFile().parse(path)


@pytest.mark.parametrize(
    ("command", "path", "said"),
    [
        (
            "study.__main__",
            "lifting.py",
            "--config is no study: it has no name; see configs/st",
        ),
        ("train", "studies/scaling.py", "--config is no config of a run: it has no task; see conf"),
        ("own_data.__main__", "lifting.py", "--config must be one like configs/own_data.py"),
        ("estimate", "studies/scaling.py", "--config is no config of a run"),
    ],
)
def test_a_config_of_another_kind_is_refused(command, path, said):
    ingest = ["ingest"] if command.startswith("own_data") else []
    with pytest.raises(UserError, match=said):
        commands.run(f"glam_jax.{command}", *ingest, f"--config={ROOT}/configs/{path}")


def test_keys_that_a_config_does_not_have_are_one_line(capsys, monkeypatch):
    monkeypatch.setattr(app, "run", raising(AttributeError(KeyError("'x'\nDid you mean 'y'?"))))
    with pytest.raises(SystemExit):
        entry.run(None)
    assert capsys.readouterr().err == "error: the config has no key 'x'; Did you mean 'y'?\n"


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--config=configs/lifting.py:scale=quikc", "did you mean quick?"),
        ("--config=configs/lifting.py --config.pretrain.step=5", "no key 'step'; Did you mean"),
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
