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


def reach(folder, stage1=0, stage2=0):
    """Makes the stages of a run begin: steps of their newest checkpoints."""
    for stage, step in ((folder.world_model, stage1), (folder.policy, stage2)):
        if step:
            (stage / str(step)).mkdir(parents=True)


def changed(settings, **values):
    """The config with other values of keys, `__` for the dots."""
    other = settings.copy_and_resolve_references()
    with other.ignore_type(), other.unlocked():
        other.update_from_flattened_dict({k.replace("__", "."): v for k, v in values.items()})
    return other


def test_another_config_is_refused_with_the_keys_that_differ(claimed, settings):
    reach(claimed, stage1=500)
    weight = settings.pretrain.weights.alignment
    other = changed(settings, seed=3, clone__batch=8, pretrain__weights__alignment=0.5)
    before = (claimed.path / workdir.CONFIG).read_text()
    with pytest.raises(WorkdirError) as error:
        claimed.claim(other)
    assert str(error.value) == (
        f"{claimed.path} was made by another config; it differs in "
        f"pretrain.weights.alignment (found {weight}, asked 0.5), seed (found 0, asked 3). "
        "Choose another --workdir, or repeat the command that made it"
    )
    assert (claimed.path / workdir.CONFIG).read_text() == before


@pytest.mark.parametrize("reached", [{}, {"stage1": 500}, {"stage1": 1500, "stage2": 500}])
@pytest.mark.parametrize(
    "key, value",
    [
        ("data__root", "elsewhere"),
        ("data__resident_bytes", 5),
        ("pretrain__log_every", 7),
        ("pretrain__accumulate", 2),
        ("clone__save_every", 7),
        ("evaluate__film", 0),
        ("evaluate__trials", 7),
        ("data__heldout_episodes", 7),
        ("replay__robot", "kinova"),
        ("audit__latent_distance", 0.2),
    ],
)
def test_what_nothing_was_learnt_with_may_change_at_any_time(
    claimed, settings, capsys, reached, key, value
):
    reach(claimed, **reached)
    other = changed(settings, **{key: value})
    claimed.claim(other)
    assert claimed.config().to_json() == other.to_json() and not claimed.continued()
    assert f"{key.replace('__', '.')} (found " in capsys.readouterr().out


@pytest.mark.parametrize(
    "reached, change, allowed",
    [
        ({}, {"seed": 3}, True),
        ({}, {"world_model__latent": 5, "data__target_episodes": 7}, True),
        ({"stage1": 1}, {"policy__chunk": 30, "clone__steps": 5}, True),
        ({"stage1": 1}, {"world_model_from": "../other"}, True),
        ({"stage1": 1}, {"data__target_episodes": 7}, False),
        ({"stage1": 1}, {"image_size": 128}, False),
        ({"stage1": 1}, {"pretrain__batch": 8}, False),
        ({"stage1": 1500, "stage2": 1}, {"policy__chunk": 30}, False),
        ({"stage1": 1500, "stage2": 1}, {"world_model_from": "../other"}, False),
        ({"stage1": 1500, "stage2": 1}, {"clone__warmup_steps": 1}, False),
        # Of a run that borrows its world model, or of MIP.
        ({"stage2": 1}, {"pretrain__batch": 8, "pretrain__steps": 5}, True),
        ({"stage2": 1}, {"seed": 3}, False),
        # Lengths of trainings: not of one that others have learnt from, nor below what was done.
        ({"stage1": 700}, {"pretrain__steps": 3000}, True),
        ({"stage1": 700}, {"pretrain__steps": 700}, True),
        ({"stage1": 700}, {"pretrain__steps": 699}, False),
        ({"stage1": 1500}, {"pretrain__steps": 3000}, False),
        ({"stage1": 1500, "stage2": 700}, {"clone__steps": 9000}, True),
        ({"stage1": 1500, "stage2": 4000}, {"clone__steps": 9000}, True),
        ({"stage1": 1500, "stage2": 4000}, {"clone__steps": 3999}, False),
    ],
)
def test_what_something_was_learnt_with_stays(claimed, settings, reached, change, allowed):
    reach(claimed, **reached)
    other = changed(settings, **change)
    if allowed:
        claimed.claim(other)
        assert claimed.config().to_json() == other.to_json()
        return
    with pytest.raises(WorkdirError, match="was made by another config"):
        claimed.claim(other)
    assert claimed.config().to_json() == settings.to_json()


def test_a_changed_length_is_said_and_remembered(claimed, settings, capsys):
    reach(claimed, stage1=1500, stage2=700)
    claimed.claim(changed(settings, clone__steps=9000))
    assert (
        "clone.steps (found 4000, asked 9000, at step 700); continuing" in capsys.readouterr().out
    )
    reach(claimed, stage2=9000)
    claimed.claim(changed(settings, clone__steps=9500, clone__log_every=1))
    assert claimed.continued() == [
        {"key": "clone.steps", "found": 4000, "asked": 9000, "at": 700},
        {"key": "clone.steps", "found": 9000, "asked": 9500, "at": 9000},
    ]


def test_results_that_do_not_follow_from_the_config_are_put_aside(claimed, settings, capsys):
    reach(claimed, stage1=1500, stage2=4000)
    claimed.finish({"successes": 3})
    claimed.claim(changed(settings, clone__log_every=7))
    assert claimed.results() == {"successes": 3}
    for number, change in enumerate(({"evaluate__trials": 7}, {"clone__steps": 9000}), start=1):
        claimed.claim(changed(claimed.config(), **change))
        assert claimed.results() is None
        assert claimed.read(f"results_{number}.json") == {"successes": 3}
        assert f"from before are in results_{number}.json" in capsys.readouterr().out
        claimed.finish({"successes": 3})


@pytest.mark.parametrize("borrows", ["", "../lender"])
def test_where_only_stage_2_differs_the_way_to_another_run_is_said(tmp_path, settings, borrows):
    folder = Workdir(tmp_path / "run")
    settings.world_model_from = borrows
    folder.claim(settings)
    reach(folder, stage1=0 if borrows else 1500, stage2=500)
    (tmp_path / "run_2").mkdir()
    said = (
        "Only stage 2 differs: a new run from the same world model is the same command with "
        f"--workdir={tmp_path}/run_3 --config.world_model_from={borrows or '../run'}$"
    )
    with pytest.raises(WorkdirError, match=said):
        folder.claim(changed(settings, policy__chunk=30))
    with pytest.raises(WorkdirError, match="Choose another --workdir"):
        folder.claim(changed(settings, policy__chunk=30, seed=3))


def test_a_file_is_no_run_folder(tmp_path, settings):
    (tmp_path / "run").write_text("")
    with pytest.raises(WorkdirError, match="run is a file; expected the folder of a run, or a new"):
        Workdir(tmp_path / "run").claim(settings)


def test_a_key_that_one_side_lacks_differs(claimed, settings):
    reach(claimed, stage1=1500, stage2=500)
    path = claimed.path / workdir.CONFIG
    stored = json.loads(path.read_text())
    del stored["policy"]["chunk"]
    path.write_text(json.dumps(stored | {"was": 1}))
    said = r"policy.chunk \(found None, asked \d+\), was \(found 1, asked None\)"
    with pytest.raises(WorkdirError, match=said):
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
