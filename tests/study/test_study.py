"""The study command: what it prints and leaves, with runs that no training made."""

import pathlib
import shutil

import commands
import fake_study
import pytest

from glam_jax.errors import UserError
from glam_jax.runtime.preemption import Preempted
from glam_jax.study import grid, worker
from glam_jax.study.reports import summary

study = commands.load("glam_jax.study.__main__")
STUDIES = pathlib.Path(__file__).parents[2] / "configs" / "studies"


def make(**changes):
    settings = {"quick": True, "tasks": ("lifting",), "methods": ("glam_o", "mip"), "seeds": (0,)}
    return grid.study("main_table", **settings | changes)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Runs the command's main with a config, flags and a way to carry out cells; its status."""

    def call(config, carry_out=fake_study.carry_out, shard="", run=True, known=None):
        flags = {"CONFIG": config, "WORKDIR": str(tmp_path), "SHARD": shard, "RUN": run}
        costs = {"TARGET_COST": None, "AUXILIARY_COST": None, "WANTED": 0.8}
        for name, value in {**flags, "KNOWN": known, **costs}.items():
            holder = type("Flag", (), {"value": value})
            monkeypatch.setattr(study, f"_{name}", holder)
        monkeypatch.setattr(worker, "make_carry_out", lambda cells: carry_out)
        with pytest.raises(SystemExit) as ended:
            study.main(None)
        return ended.value.code

    return call


def test_from_nothing_to_a_report_and_again(command, tmp_path, capsys):
    assert command(make()) == 0
    printed = capsys.readouterr()
    assert "2 of 2 cells are done" in printed.out and f"{tmp_path / 'report.md'}" in printed.out
    assert "2/2" in printed.err  # the bar over the cells
    text = (tmp_path / "report.md").read_text()

    def never(cell, path):
        raise AssertionError("done twice")

    assert command(make(), never) == 0
    assert (tmp_path / "report.md").read_text() == text


def test_shares_add_up_to_the_whole(command, tmp_path, capsys):
    assert command(make(), shard="1/2") == 0
    assert "1 of 2 cells are done" in capsys.readouterr().out
    assert command(make(), shard="2/2") == 0
    assert "2 of 2 cells are done" in capsys.readouterr().out


def test_what_a_summary_has_is_left_out(command, tmp_path, capsys):
    assert command(make(), shard="1/2") == 0
    known = (tmp_path / "summary.json").rename(tmp_path / "known.json")
    shutil.rmtree(tmp_path / "cells")
    assert command(make(), known=str(known)) == 0
    assert "1 of 2 cells are done" in capsys.readouterr().out.splitlines()[-1]
    joined = summary.join(summary.read(known), summary.read(tmp_path / "summary.json"))
    assert len(joined["cells"]) == 2 and not joined["missing"]


def test_a_study_can_grow(command, capsys):
    assert command(make()) == 0
    assert command(make(seeds=(0, 1))) == 0
    assert "4 of 4 cells are done" in capsys.readouterr().out


def test_a_failure_is_named_and_the_rest_reported(command, tmp_path, capsys):
    assert command(make(methods=("glamo", "mip"))) == 1
    printed = capsys.readouterr()
    assert "lifting_glamo_seed0 will fail: unknown method 'glamo'" in printed.out
    folder = tmp_path / "cells" / "lifting_glamo_seed0"
    assert f"failed: {folder}: ConfigError: unknown method 'glamo'" in printed.err
    assert (folder / "error.txt").exists() and (tmp_path / "report.md").exists()


def test_a_stop_is_no_failure(command, capsys):
    def stop(cell, path):
        raise Preempted("stage 2: stopped on request at step 7 of 9, saved")

    assert command(make(), stop) == 0
    assert "at step 7 of 9, saved. The same command continues" in capsys.readouterr().out


def run(*arguments):
    commands.run("glam_jax.study.__main__", *arguments)


def test_from_the_command_line_with_changed_axes(tmp_path, capsys):
    fake_study.finish(make(seeds=(0, 1)), tmp_path)
    with pytest.raises(SystemExit, match="0"):
        run(
            f"--config={STUDIES}/main_table.py:quick",
            "--config.methods=('glam_o', 'mip')",
            "--config.seeds=(0, 1)",
            f"--workdir={tmp_path}",
            "--norun",
        )
    assert "4 of 4 cells are done" in capsys.readouterr().out
    assert "training seeds: 0, 1" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    "arguments, found",
    [
        ((f"--config={STUDIES}/scaling.py:quick", "--shard=9/8"), "shard is '9/8'"),
        ((f"--config={STUDIES}/scaling.py:quikc",), "expected quick or nothing"),
        ((f"--config={STUDIES}/scaling.py", "--config.seeds=()"), "seeds is empty"),
        ((f"--config={STUDIES}/scaling.py", "--target_cost=5"), "auxiliary_cost is not given"),
    ],
)
def test_errors_of_use_come_before_anything_is_written(tmp_path, arguments, found):
    with pytest.raises((UserError, SystemExit), match=found):
        run(*arguments, f"--workdir={tmp_path}")
    assert not list(tmp_path.iterdir())
