"""Whole runs, small ones, through the commands that a user types: from nothing to a measured
policy, stopped and continued, repeated, and replayed.

Commands that do not wait for each other run side by side, and all share the compilation cache.
"""

import importlib.metadata
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import chex
import numpy as np
import pytest
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.evaluation import intervals
from glam_jax.experiment import experiment
from glam_jax.experiment.workdir import WorkdirError
from glam_jax.runtime import checkpoint, metrics

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
STEPS, TRIALS, HELD_OUT = 300, 3, 2
SHOWN = ("kinova_real", "umi", "kinova")  # Training has not seen the last one.
TINY = {
    "image_size": 16,
    "data": {"target_episodes": 3, "heldout_episodes": HELD_OUT},
    "world_model": {
        "channels": (4, 4, 4, 4), "visual": 8, "latent": 4, "width": 16, "decoder_layers": 2,
        "posterior_blocks": 1, "forward_blocks": 1, "proprio_blocks": 1,
    },
    "policy": {
        "channels": (4, 4, 4), "features": 8, "hidden": 8, "condition": 8, "layers": 3,
        "width": 16, "decoder_layers": 2,
    },
    "pretrain": {"steps": STEPS, "batch": 8, "log_every": 5, "save_every": 200},
    "clone": {"steps": STEPS, "batch": 8, "log_every": 5, "save_every": 200},
    "evaluate": {"trials": TRIALS, "batch": 2, "film": 1},
    "replay": {"episodes": HELD_OUT},
}  # fmt: skip
AUXILIARY = {"data": {"auxiliary": {"umi": 3}}}


class Command:
    """`python -m glam_jax.<module>` at work."""

    def __init__(self, folder: pathlib.Path, module: str, *arguments: str):
        self.out, self.err = (folder / f"{time.monotonic_ns()}.{kind}" for kind in ("out", "err"))
        command = [sys.executable, "-m", f"glam_jax.{module}", *arguments]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)

    def finish(self) -> str:
        """Waits for the end, which must be a good one, and gives what was printed."""
        self.process.wait(timeout=900)
        assert self.process.returncode == 0, self.out.read_text() + self.err.read_text()
        return self.out.read_text()

    def until(self, there) -> None:
        """Waits until a condition holds, which must be before the end."""
        while not there():
            assert self.process.poll() is None, self.out.read_text() + self.err.read_text()
            time.sleep(0.05)


def overrides(settings, prefix="config"):
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from overrides(value, f"{prefix}.{key}")
        else:
            yield f"--{prefix}.{key}={value}"


def config_flags(folder, method):
    yield f"--config=configs/lifting.py:scale=quick,method={method}"
    yield f"--config.data.root={folder / 'data'}"
    yield from overrides(TINY)
    if method != "mip":
        yield from overrides(AUXILIARY)


def train(folder, name, method):
    return Command(folder, "train", *config_flags(folder, method), f"--workdir={folder / name}")


def trained_to(stage: pathlib.Path) -> int:
    """The last step that a stage has logged."""
    if not (stage / metrics.METRICS_FILE).exists():
        return 0
    steps, _ = metrics.read_metrics(stage).get("loss", ([0], []))
    return steps[-1]


def read_json(path):
    return json.loads(path.read_text())


def printed_json(command):
    text = command.finish()
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the data and a finished run of each kind, `whole` and `mip`."""
    folder = tmp_path_factory.mktemp("lab")
    umi = ("--source=umi", f"--episodes={AUXILIARY['data']['auxiliary']['umi']}")
    collecting = Command(folder, "collect", *config_flags(folder, "glam_o"), *umi)
    mip = train(folder, "mip", "mip")  # records the data of the arm, which it lacks
    mip.until(lambda: trained_to(folder / "mip" / "policy"))
    assert printed_json(collecting)["episodes"] == {"train": 3, "heldout": HELD_OUT}
    whole = train(folder, "whole", "glam_o")
    for run in (mip, whole):
        assert "Everything is in" in run.finish()
    return folder


@pytest.fixture(scope="module")
def commands(folder):
    """What can be asked of a finished run, all at once."""
    workdir = f"--workdir={folder / 'whole'}"
    return {
        "again": train(folder, "whole", "glam_o"),
        "evaluate": Command(folder, "evaluate", workdir, f"--trials={TRIALS}", "--video"),
        "replay": Command(folder, "replay", workdir, f"--sources={','.join(SHOWN)}"),
    }


def check_results(results, method):
    """Every field that results.json must have."""
    named = ("task", "method", "scale", "seed", "trials")
    assert [results[name] for name in named] == ["lifting", method, "quick", 0, TRIALS]
    assert results["success_rate"] == results["successes"] / TRIALS
    interval = intervals.wilson(results["successes"], TRIALS)
    assert (results["wilson_low"], results["wilson_high"]) == interval
    assert np.isfinite([results["jerk_smoothness"], results["fft_smoothness"]]).all()
    assert set(results["seconds"]) == {"collect", "pretrain", "relabel", "clone", "evaluate"}
    assert results["seconds"]["clone"] > 0 and results["seconds"]["evaluate"] > 0
    for package in ("jax", "mujoco", "mujoco-mjx", "tensorflow-datasets", "orbax-checkpoint"):
        assert results["packages"][package] == importlib.metadata.version(package)
    assert results["git_revision"] and "cpu" in results["device"]


def test_one_command_leaves_a_whole_run_folder(folder):
    run = folder / "whole"
    results = read_json(run / "results.json")
    check_results(results, "glam_o")
    assert results["seconds"]["pretrain"] > 0
    for stage in ("stage1", "stage2"):
        assert results["decoded_error"][stage]["heldout_ee_mm"] > 0
    config = ConfigDict(read_json(run / "config.json"))
    assert config.pretrain.steps == STEPS and config.world_model.modality == "mask"
    for name in ("rollouts.mp4", "reconstructions.png", "sources.png", "joints.png"):
        assert (run / name).stat().st_size > 1000
    for stage in ("world_model", "policy"):
        assert (run / f"curves_{stage}.png").stat().st_size > 1000
        assert (run / stage / str(STEPS)).is_dir() and list((run / stage).glob("events.out*"))
        curves = metrics.read_metrics(run / stage)
        assert {"loss", "heldout_ee_mm", "data_wait_share"} <= set(curves)
        assert curves["loss"][1][-1] < curves["loss"][1][0]
    assert not [p for p in run.rglob("*") if p.name.startswith(".")]


def test_the_policy_alone_is_trained_on_the_target_alone(folder):
    run = folder / "mip"
    results = read_json(run / "results.json")
    check_results(results, "mip")
    assert results["seconds"]["pretrain"] == 0 and set(results["decoded_error"]) == {"stage2"}
    assert not (run / "world_model").exists() and not (run / "labels.npy").exists()
    assert (run / "rollouts.mp4").exists()


def test_called_again_it_says_that_it_is_done(folder, commands):
    results = read_json(folder / "whole" / "results.json")
    printed = commands["again"].finish()
    assert f"{folder / 'whole'} is done." in printed
    assert experiment.table(results) in printed


def check_same_rollouts(ours, theirs):
    """Equal but for the scores' last digits: third derivatives magnify a last bit of a position,
    which was seen to differ between processes on a machine with other work."""
    for name in ("jerk_smoothness", "fft_smoothness"):
        ours[name] = pytest.approx(ours[name], rel=1e-5)
    assert theirs == ours


def test_the_evaluation_is_repeated(folder, commands):
    results = read_json(folder / "whole" / "results.json")
    repeated = printed_json(commands["evaluate"])
    check_same_rollouts(repeated, {name: results[name] for name in repeated})
    assert {"successes", "jerk_smoothness", "fft_smoothness"} <= set(repeated)
    video = folder / "whole" / "rollouts.mp4"
    assert f"Video: {video}" in commands["evaluate"].finish()
    for again in (video, folder / "whole" / "joints.json"):
        assert again.stat().st_mtime > (folder / "whole" / "results.json").stat().st_mtime


def test_replay_of_each_source_and_of_one_that_was_not_learned_from(folder, commands):
    printed = commands["replay"].finish()
    report = read_json(folder / "whole" / "replay.json")
    assert set(report) == {f"{source}_to_kinova_real" for source in SHOWN}
    for source in SHOWN:
        found = report[f"{source}_to_kinova_real"]
        assert found["trials"] == len(found["path_errors_mm"]) == HELD_OUT
        assert min(found["path_errors_mm"]) > 0
        assert found["source"] == schema.title(source) and "simulated" in found["robot"]
        assert f" to {found['robot']}: {found['successes']}/{HELD_OUT} succeed" in printed
        for kind in ("mp4", "png"):
            path = folder / "whole" / f"replay_{source}_to_kinova_real.{kind}"
            assert path.stat().st_size > 1000


def test_stopped_in_each_stage_and_continued_it_ends_bit_identical(folder, commands):
    whole, stopped = folder / "whole", folder / "stopped"
    for stage, name in (("world_model", "stage 1, world model"), ("policy", "stage 2, policy")):
        run = train(folder, "stopped", "glam_o")
        run.until(lambda stage=stage: trained_to(stopped / stage) >= 10)
        run.process.send_signal(signal.SIGTERM)
        said = f"{name}: stopped on request at step (\\d+) of {STEPS}, saved"
        step = int(re.search(said, run.finish()).group(1))
        assert 10 <= step < STEPS and (stopped / stage / str(step)).is_dir()
        assert not (stopped / "results.json").exists()
    train(folder, "stopped", "glam_o").finish()
    for stage in ("world_model", "policy"):
        ours, theirs = (checkpoint.restore_for_inference(p / stage) for p in (stopped, whole))
        assert ours.step == theirs.step == STEPS
        chex.assert_trees_all_equal(ours.params, theirs.params)
        chex.assert_trees_all_equal(ours.statistics, theirs.statistics)
        curves = [metrics.read_metrics(p / stage)["loss"] for p in (stopped, whole)]
        np.testing.assert_array_equal(*curves)
    ours, theirs = (read_json(p / "results.json") for p in (stopped, whole))
    measured = ("successes", "outcomes", "jerk_smoothness", "fft_smoothness", "decoded_error")
    check_same_rollouts(*({name: found[name] for name in measured} for found in (ours, theirs)))


def test_another_config_in_the_same_folder_is_refused(folder):
    run = folder / "whole"
    config = ConfigDict(read_json(run / "config.json"))
    config.clone.batch = 16
    expected = r"clone.batch \(found 8, asked 16\)\. Only stage 2 differs: a new run from the same"
    with pytest.raises(WorkdirError, match=expected):
        experiment.run(config, run)
