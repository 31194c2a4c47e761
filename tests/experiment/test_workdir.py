"""The run folder: whose it is, what it remembers, and what it refuses."""

import json
import math
import types

import pytest

from glam_jax import config
from glam_jax.experiment import workdir
from glam_jax.experiment.workdir import Workdir, WorkdirError


@pytest.fixture
def settings():
    return config.make("lifting", "scale=quick")


@pytest.fixture
def claimed(tmp_path, settings):
    folder = Workdir(tmp_path / "run")
    folder.claim(settings)
    return folder


def test_the_config_comes_back_and_claims_again(claimed, settings):
    found = claimed.config()
    assert found.to_json() == settings.to_json()
    assert found.is_locked
    claimed.claim(settings)
    claimed.claim(found)
    assert [p.name for p in claimed.path.iterdir()] == [workdir.CONFIG]


def test_another_config_is_refused_with_the_keys_that_differ(claimed, settings):
    with settings.unlocked():
        settings.clone.steps = 7
        settings.pretrain.weights.alignment = 0.5
    before = (claimed.path / workdir.CONFIG).read_text()
    with pytest.raises(WorkdirError) as error:
        claimed.claim(settings)
    old = config.make("lifting", "scale=quick")
    message = str(error.value)
    assert str(claimed.path) in message and "Choose another --workdir" in message
    assert f"clone.steps (found {old.clone.steps}, asked 7)" in message
    assert f"weights.alignment (found {old.pretrain.weights.alignment}, asked 0.5)" in message
    assert message.count("found") == 2
    assert (claimed.path / workdir.CONFIG).read_text() == before


def test_a_key_that_one_side_lacks_differs(claimed, settings):
    path = claimed.path / workdir.CONFIG
    stored = json.loads(path.read_text())
    del stored["policy"]["chunk"]
    path.write_text(json.dumps(stored))
    with pytest.raises(WorkdirError, match=r"policy.chunk \(found None, asked \d+\)"):
        claimed.claim(settings)


def test_a_folder_without_a_run(tmp_path, settings):
    with pytest.raises(WorkdirError, match=r"config.json is missing: no run was started in"):
        Workdir(tmp_path / "none").config()
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_is_named(claimed, settings):
    (claimed.path / workdir.CONFIG).write_text("{")
    for read in (claimed.config, lambda: claimed.claim(settings)):
        with pytest.raises(WorkdirError, match="config.json is not JSON.*remove it to start anew"):
            read()


def test_results_mark_the_end(claimed):
    assert claimed.results() is None
    claimed.finish({"successes": 3, "jerk_smoothness": math.nan})
    # Not-a-number has no place in JSON.
    assert Workdir(claimed.path).results() == {"successes": 3, "jerk_smoothness": None}


def test_seconds_add_up_over_starts_and_failures(claimed, monkeypatch):
    clock = iter([10.0, 14.0, 20.0, 20.5, 30.0, 31.0])
    monkeypatch.setattr(workdir, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    assert claimed.seconds() == {}
    with claimed.timed("pretrain"):
        pass
    again = Workdir(claimed.path)
    with pytest.raises(KeyboardInterrupt), again.timed("pretrain"):
        raise KeyboardInterrupt
    with again.timed("clone"):
        pass
    assert again.seconds() == {"pretrain": 4.5, "clone": 1.0}
