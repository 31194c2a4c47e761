"""A policy's commands against the expert's, from one start."""

import dataclasses
import json

import numpy as np
import pytest
from demonstrated import demonstrations
from PIL import Image

from glam_jax.evaluation import joints
from glam_jax.evaluation.rollout import Rollout
from glam_jax.sim.env import make_env


@pytest.fixture(scope="module")
def shown():
    """A rollout that does what the expert does from seed 0, a little off, and then elsewhere."""
    action = demonstrations("lifting", "kinova_real")[0].action
    way = np.zeros((2, len(action) + 10, 8), np.float32)
    way[0, : len(action)] = action + 0.01
    return Rollout(
        seeds=np.array([0, 1]),
        success=np.array([True, False]),
        steps=np.array([len(action), way.shape[1]]),
        ee_position=np.zeros((*way.shape[:2], 3)),
        actions=way,
        clipped=np.zeros(2),
        sight=None,
    ), action


@pytest.mark.slow
def test_the_experts_commands_are_of_the_same_start(shown, tmp_path):
    result, action = shown
    env = make_env("lifting", "kinova_real")
    assert joints.save(tmp_path, env, result) == tmp_path / "joints.png"
    found = json.loads((tmp_path / joints.FILE).read_text())
    assert (found["hz"], found["seed"], found["success"]) == (20, 0, True)
    expert, policy = np.array(found["expert"]), np.array(found["policy"])
    assert expert.shape == (env.plan_steps, 8) and policy.shape == action.shape
    np.testing.assert_allclose(expert[: len(action)], action, atol=6e-4)
    np.testing.assert_allclose(policy, expert[: len(action)] + 0.01, atol=1.1e-3)
    assert np.std(np.asarray(Image.open(tmp_path / "joints.png"))) > 10


@pytest.mark.slow
def test_what_is_not_finite_is_left_out(shown):
    result, action = shown
    broken = result.actions.copy()
    broken[0, 7:, 3] = np.nan
    broken = dataclasses.replace(result, actions=broken)
    found = joints.compare(make_env("lifting", "kinova_real"), broken)
    assert len(found["policy"]) == 7 and np.isfinite(found["policy"]).all()


def test_a_summary_keeps_every_other_command():
    found = {"hz": 20, "seed": 1, "success": False, "policy": [[0], [1], [2]], "expert": [[3]]}
    thin = joints.thin(found)
    assert thin == found | {"hz": 10, "policy": [[0], [2]]}
