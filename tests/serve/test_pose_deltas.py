"""Pose differences with seven numbers: from a foreign dataset to an answered client."""

import itertools

import bridge_data
import numpy as np
import pytest
import tiny_policy
from running_server import running

import glam_jax
from glam_jax.client import PolicyClient
from glam_jax.experiment import experiment
from glam_jax.own_data import config as own_config
from glam_jax.own_data import key_map, readers
from glam_jax.serve import service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(run folder, key map) of a policy that was trained for two steps."""
    root = tmp_path_factory.mktemp("bridge")
    keys = bridge_data.KEYS | {"path": bridge_data.folder(root)}
    own = {
        "target": "widowx", "target_episodes": 4, "auxiliary": {}, "joins_target": (),
        "heldout_episodes": 1, "arms": 1, "arm_proprio": 7, "arm_action": 7,
        "action_kind": "pose_delta", "rate_hz": 5.0, "image_size": 32, "sources": {"widowx": keys},
    }  # fmt: skip
    config = own_config.make("spoon", own, "method=mip,scale=quick")
    with config.unlocked():
        config.data.root = str(root / "data")
        config.policy.update(tiny_policy.TINY)
        config.evaluate.execute = tiny_policy.EXECUTE
        config.clone.update({"steps": 2, "batch": 8, "log_every": 1, "warmup_steps": 1})
    experiment.run(config, root / "run")
    return root / "run", key_map.read("widowx", keys, arms=1)


def test_what_was_recorded_is_answered_with_differences(run):
    folder, keys = run
    policy = glam_jax.load_policy(folder)
    reader = readers.open_reader(keys)
    episodes = [list(reader.episode("train", index).steps) for index in range(4)]
    seen = [
        {name: step[name] for name in ("observation/image_0", "observation/state")}
        for step in itertools.islice(episodes[0], 0, 12, 4)
    ]
    served = service.make_service(policy, service.settings())
    with running(served) as (_, port), PolicyClient(port=port) as client:
        found = client.metadata
        replies = [client.infer(one, reset=True) for one in seen]
    assert found["action_kind"] == "pose_delta" and found["control_hz"] == 5.0
    assert found["observation"]["observation/image_0"]["shape"] == [64, 64, 3]
    shown = np.concatenate([[step["action"] for step in steps[:-1]] for steps in episodes])
    np.testing.assert_allclose(found["action_low"], shown.min(0), atol=1e-6)
    np.testing.assert_allclose(found["action_high"], shown.max(0), atol=1e-6)
    assert np.isinf(found["action_speed"]).all()  # a difference is a speed already
    for one, reply in zip(seen, replies, strict=True):
        assert reply["actions"].shape == (policy.execute, 7)
        # The network answers beyond what one of its numbers had only where that is constant.
        expected = np.clip(policy(one)[: policy.execute], found["action_low"], found["action_high"])
        np.testing.assert_array_equal(reply["actions"], expected)
        assert reply["clipped"]["speed"] == 0
