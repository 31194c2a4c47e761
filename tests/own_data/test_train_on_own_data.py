"""A run on own data, from foreign datasets to a policy, through the command that a user types."""

import json
import pathlib
import shutil

import commands
import foreign_data
import numpy as np
import own_policy
import pytest

import glam_jax
from glam_jax import files
from glam_jax.demonstrations import gather
from glam_jax.errors import DataError, UserError
from glam_jax.experiment import experiment
from glam_jax.experiment.workdir import Workdir, WorkdirError
from glam_jax.funnel import funnel
from glam_jax.own_data import images
from glam_jax.runtime import checkpoint, metrics
from glam_jax.serve import service

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 4
TINY = {
    "world_model": {
        "channels": (4, 4, 4, 4), "visual": 8, "latent": 4, "width": 16, "decoder_layers": 2,
        "posterior_blocks": 1, "forward_blocks": 1, "proprio_blocks": 1,
    },
    "policy": {
        "channels": (4, 4, 4), "features": 8, "hidden": 8, "condition": 8, "layers": 3,
        "width": 16, "decoder_layers": 2, "chunk": 4,
    },
    "pretrain": {"steps": STEPS, "batch": 8, "log_every": 2, "save_every": 4, "warmup_steps": 1},
    "clone": {"steps": STEPS, "batch": 8, "log_every": 2, "save_every": 4, "warmup_steps": 1},
    "evaluate": {"execute": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(config, run folder, results) of a run with two targets and an auxiliary source.

    The arm's actions are joints alone, 7 numbers, unlike the simulated robot's. The world model
    is on masks, which no source stores: they are made by colour.
    """
    root = tmp_path_factory.mktemp("own")
    arm = foreign_data.write(root, "arm", True, "tfrecord")
    hand = foreign_data.write(root, "hand", False, "array_record")
    joints = {
        "action": ("action/joints",),
        "action_scale": float(np.pi / 180),
        "proprio": ("observation/joint_degrees",),
        "proprio_scale": float(np.pi / 180),
        "proprio_offset": 0.0,
    }
    colours = {"mask_colours": {"front": foreign_data.SQUARE, "overhead": {}}}
    keys = foreign_data.key_map(arm, True, **joints, **colours)
    config = foreign_data.config(
        root / "data",
        keys,
        foreign_data.key_map(hand, False, **colours),
        "method=glam_o,scale=quick",
        arm_proprio=7,
        arm_action=7,
        target_episodes=3,
        heldout_episodes=2,
        auxiliary={"handheld": 3, "again": 2},
        joins_target=("again",),
        sources={
            "arm": keys,
            "again": keys | {"weight": 3.0},
            "handheld": foreign_data.key_map(hand, False, **colours),
        },
    )
    assert config.world_model.modality == "mask"
    with config.unlocked():
        config.update(TINY)
    return config, root / "run", experiment.run(config, root / "run")


def test_a_run_on_own_data_ends_with_a_policy(run):
    config, folder, results = run
    assert results["sources"] == {"arm": 3, "again": 2, "handheld": 3}
    assert "success_rate" not in results and (folder / "sources.png").exists()
    for stage in ("stage1", "stage2"):
        assert results["decoded_error"][stage]["heldout_action_rms"] > 0
    assert "not measured" in experiment.table(results)


def test_the_policy_is_a_function_of_the_arms_own_arrays(run):
    config, folder, _ = run
    policy = glam_jax.load_policy(folder)
    assert policy.control_hz == config.own.rate_hz
    actions = policy(own_policy.recorded(4))
    low, high = policy.limits.low, policy.limits.high
    assert actions.shape == (4, 7) and low.shape == (7,)
    assert (actions >= low).all() and (actions <= high).all() and low.max() > 10  # degrees
    assert service.make_service(policy, service.settings()).metadata["action_dim"] == 7


def test_the_joined_source_is_target_data_and_weighted(run):
    config, _, _ = run
    store = gather.gather(config).store
    assert store.targets == 5 and len(store.lengths) == 8
    np.testing.assert_array_equal(store.weights, [1] * 3 + [3] * 2 + [1] * 3)
    assert store.arrays["action"][: store.starts[5]].any()
    assert not store.arrays["action"][store.starts[5] :].any()


def test_masks_by_colour_are_what_the_world_model_sees(run):
    config, _, _ = run
    store = gather.gather(config).store
    front = store.pictures("mask", np.arange(store.lengths.sum()))[:, 0]
    expected = [images.square_mask(mask, 16, "crop")[..., 0] for mask in foreign_data.masks()]
    np.testing.assert_array_equal(front[..., 0], np.tile(expected, (len(store.lengths), 1, 1)))


def test_the_audit_leaves_out_replay_alone(run, capsys):
    _, folder, _ = run
    commands.run("glam_jax.audit.__main__", f"--workdir={folder}", "--source=handheld")
    assert "Replay is left out: the robot is not simulated here." in capsys.readouterr().out
    found = json.loads((folder / "audit_handheld.json").read_text())
    gates = {gate["name"]: gate for gate in found["gates"]}
    assert "replay_lower" not in gates and len(gates) == 7
    assert gates["decoded_error_share"]["value"] > 0
    assert "only the robot can tell" in (folder / "audit_handheld.html").read_text()


def test_the_funnel_ends_with_what_can_be_said_without_a_simulation(run, tmp_path, monkeypatch):
    config = run[0].copy_and_resolve_references().unlock()
    config.audit.update(  # four updates make no world model: any source is admitted
        decoded_error_share=1e9, latent_distance=1.0, classifier_auc=1.0, inside_range=0.0,
        forward_pose=1e9, forward_visual=1e9, visual_against_target=1e9,
    )  # fmt: skip
    found = funnel.funnel(config, ("handheld",), tmp_path)
    (one,) = found["candidates"]
    assert one["fit"] and one["verdict"] == "admitted; only the robot can tell what it brings"
    assert found["none"]["decoded_error"]["heldout_action_rms"] > 0
    configs = {name: Workdir(tmp_path / name).config() for name in ("handheld", "none", "half")}
    assert {name: made.data.auxiliary.to_dict() for name, made in configs.items()} == {
        "handheld": {"handheld": 3, "again": 2},
        "none": {"handheld": 0, "again": 2},
        "half": {"handheld": 0, "again": 2},
    }
    assert configs["half"].data.target_episodes == 1
    text = (tmp_path / "funnel.html").read_text()
    assert "only the robot can tell" in text and "try the policies on the robot" in text
    assert (tmp_path / "inspection.html").exists()

    def never(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(funnel.audit, "audit", never)
    assert funnel.funnel(config, ("handheld",), tmp_path) == found


def test_what_needs_a_simulation_says_so(run):
    _, folder, _ = run
    assert Workdir(folder).config().own.arm_action == 7
    for name in ("glam_jax.evaluate", "glam_jax.replay"):
        with pytest.raises(UserError, match="task reach was learned from own data"):
            commands.run(name, f"--workdir={folder}")


def test_a_method_on_masks_without_masks_is_refused(run, tmp_path):
    config, _, _ = run
    made = json.loads(config.to_json())["own"]["sources"]
    made["arm"]["mask_colours"]["front"] = {}
    other = foreign_data.config(
        tmp_path, made["arm"], made["handheld"], "method=glam_o", arm_action=7, arm_proprio=7
    )
    with pytest.raises(DataError, match="glam_o needs masks; use method=glam"):
        gather.gather(other)


def test_the_example_config_can_be_read_and_names_what_is_missing():
    config = f"--config={ROOT}/configs/own_data.py"
    with pytest.raises(UserError, match="my_arm/1.0.0: no such file or folder"):
        commands.run("glam_jax.own_data.__main__", "ingest", config)


def test_a_finished_run_continues_with_more_updates_and_moved_data(run, tmp_path):
    config, finished, results = run
    folder, more = shutil.copytree(finished, tmp_path / "run"), config.copy_and_resolve_references()
    shutil.copytree(config.data.root, tmp_path / "data")
    more.update({"clone": {"steps": STEPS + 2, "log_every": 1}})
    more.data.root = f"{tmp_path}/data"
    found = experiment.run(more, folder)
    entry = {"key": "clone.steps", "found": STEPS, "asked": STEPS + 2, "at": STEPS}
    assert found["continued"] == [entry] and results["continued"] == []
    assert checkpoint.last_step(folder / "policy") == STEPS + 2
    assert list(metrics.read_metrics(folder / "policy")["loss"][0])[-2:] == [STEPS + 1, STEPS + 2]
    assert files.read_json(folder / "results_1.json")["continued"] == []
    assert Workdir(folder).config().data.root == f"{tmp_path}/data"
    more.policy.chunk = more.evaluate.execute = 3
    instead = "Only stage 2 .*run_2 --config.world_model_from=../run"
    with pytest.raises(WorkdirError, match=rf"policy.chunk \(found 4, asked 3\)\. {instead}"):
        experiment.run(more, folder)
