"""A policy on own data: it takes what was recorded, and says what was recorded."""

import dataclasses
import json

import foreign_data
import jax
import numpy as np
import own_policy
import pytest
import tiny_policy
from running_server import running

import glam_jax
from glam_jax.client import PolicyClient, PolicyError
from glam_jax.experiment.workdir import STORED, Workdir, WorkdirError
from glam_jax.own_data import key_map
from glam_jax.own_data.convert import Aim
from glam_jax.schema import Layout
from glam_jax.serve import service
from glam_jax.serve.border import ObservationError
from glam_jax.serve.raw_form import RawForm

NAMES = {"image": "observation/rgb", "state": "observation/state", "joints": "action/joints"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return own_policy.save(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def policy(saved):
    return glam_jax.load_policy(saved[0])


@pytest.fixture(scope="module")
def renamed(policy, saved):
    """The same with names of a client's own."""
    keys = dataclasses.replace(policy.target.keys, client_names=NAMES)
    form = RawForm(keys, policy.target.aim, Workdir(saved[0]).read(STORED))
    return dataclasses.replace(policy, form=form)


def named(step):
    """`recorded` with the names of `renamed`."""
    short = {key: name for name, key in NAMES.items()}
    return {short.get(k, k): array for k, array in own_policy.recorded(step).items()}


def joined(actions):
    return np.concatenate([actions["action/joints"], actions["action/grip"]], axis=-1)


def test_it_wants_what_was_recorded_and_nothing_else(policy, renamed):
    wanted = {
        "observation/rgb": ((foreign_data.HEIGHT, foreign_data.WIDTH, 3), "uint8"),
        "observation/state": ((8,), "float32"),
        "observation/joint_degrees": ((7,), "float32"),
    }
    assert {k: (s, d.name) for k, (s, d) in policy.observation_spec.items()} == wanted
    assert set(renamed.observation_spec) == {"image", "state", "observation/joint_degrees"}


def test_a_recorded_observation_is_a_converted_one_bit_for_bit(policy, saved):
    _, _, episodes = saved
    act = jax.jit(policy.act)
    for step in (0, 8, 19):
        steps = {name: array[step] for name, array in episodes[0].steps.items()}
        seen = policy.read(own_policy.recorded(step), {})
        for name, array in seen.items():
            np.testing.assert_array_equal(array, steps[name])
        batch = {name: steps[name][None] for name in ("ee_pose", "proprio")}
        chunk = act(policy.params, batch | {"image": steps["image_front"][None, None]}, None)[0]
        actions = policy(own_policy.recorded(step))
        # Joints were recorded in degrees, the gripper as it is used.
        np.testing.assert_array_equal(actions["action/grip"], chunk[:, 7:])
        np.testing.assert_allclose(actions["action/joints"], np.rad2deg(chunk[:, :7]), rtol=1e-6)
        assert np.abs(actions["action/joints"]).max() > 10


def test_names_and_prompts_change_nothing(policy, renamed):
    expected = policy(own_policy.recorded(3))
    found = renamed(named(3) | {"prompt": "reach"})
    assert list(found) == ["joints", "action/grip"]
    np.testing.assert_array_equal(found["joints"], expected["action/joints"])


def test_rows_of_a_batch_are_independent(policy):
    rows = [own_policy.recorded(step) for step in (0, 5, 7)]
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    found = joined(policy(batch))
    assert found.shape == (3, tiny_policy.CHUNK, 8)
    np.testing.assert_allclose(found, [joined(policy(row)) for row in rows], atol=1e-3)


def state(**changes):
    array = own_policy.recorded(0)["observation/state"].astype(np.float64)
    for index, value in changes.items():
        array[int(index[1:])] = value
    return {"state": array}


JOINTS = own_policy.recorded(0)["observation/joint_degrees"]
BAD = [
    (state(_1=np.nan), r"^state\[1\]: found a value that is not finite"),
    (state(_3=0.0, _4=0.0, _5=0.0, _6=0.0), r"^key 'state\[3:7\]': length of the quaternion_wxyz"),
    (state(_0=1e5), r"^state\[0:3\], converted to ee_pose\[0\]: found 100; expected"),
    ({"state": np.zeros(7)}, r"^state: found shape \(7,\); expected \(8,\)"),
    ({"image": np.zeros((24, 32, 3), np.float32)}, "^image: found dtype float32; expected uint8"),
    ({"image": np.zeros((16, 16, 3), np.uint8)}, r"^image: found shape \(16, 16, 3\); expected"),
    # Degrees of degrees.
    (
        {"observation/joint_degrees": np.rad2deg(JOINTS)},
        r"^observation/joint_degrees, converted to proprio\[0\]: found -57",
    ),
    ({"observation/rgb": np.zeros(1)}, "^unknown 'observation/rgb'; expected state, "),
]


@pytest.mark.parametrize(("changes", "said"), BAD)
def test_what_is_wrong_is_named_as_the_client_does(renamed, changes, said):
    served = service.make_service(renamed, service.settings())
    with pytest.raises(ObservationError, match=said):
        served.read({**named(0), **changes})


def test_an_earlier_run_is_refused(saved, tmp_path):
    folder, _, _ = saved
    (tmp_path / "policy").symlink_to(folder / "policy")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(WorkdirError, match=f"{STORED} is missing: an earlier version"):
        glam_jax.load_policy(tmp_path)


# --- Over a socket ----------------------------------------------------------------------


def test_a_client_is_told_all_of_it_in_its_own_units(policy, saved):
    _, _, episodes = saved
    found = service.make_service(policy, service.settings()).metadata
    assert found["action_parts"] == {"action/joints": 7, "action/grip": 1}
    assert found["action_dim"] == 8 and found["action_kind"] == "joint_positions"
    assert found["action_units"].startswith("as recorded; times 0.0174533 (7 times), 1 plus 0 ")
    units = {name: about["units"] for name, about in found["observation"].items()}
    assert units["observation/rgb"] == "rgb, 0 black, 255 white, channels last"
    assert "observation/state[0:3]: position, mm; " in units["observation/state"]
    assert "observation/state[7]: gripper, 255 closed, 0 open" in units["observation/state"]
    assert found["checkpoint"] == policy.checkpoint and "step 1, " in policy.checkpoint
    # The limits are what was demonstrated, in degrees.
    actions = np.concatenate([e.steps["action"][:-1] for e in episodes])
    degrees = np.append([180 / np.pi] * 7, 1)
    np.testing.assert_allclose(found["action_low"], degrees * actions.min(0), rtol=1e-5)
    np.testing.assert_allclose(found["action_high"], degrees * actions.max(0), rtol=1e-5)
    moved = np.abs(np.concatenate([np.diff(e.steps["action"][:-1], axis=0) for e in episodes]))
    expected = foreign_data.RATE * degrees * moved.max(0)
    np.testing.assert_allclose(found["action_speed"], expected, rtol=1e-4)
    text = service.describe_limits(found).splitlines()
    assert len(text) == 9 and text[8].split()[0] == "action/grip[0]" and "a second" in text[8]


def test_the_served_actions_start_from_the_measured_joints(policy):
    served = service.make_service(policy, service.settings())
    seen = own_policy.recorded(4)
    with running(served) as (_, port), PolicyClient(port=port) as client:
        assert client.metadata["observation"].keys() == seen.keys()
        json.dumps(client.metadata["observation"])
        actions = client.infer({**seen, "prompt": "reach"})["actions"]
        second = client.infer(seen)["actions"]
        with pytest.raises(PolicyError, match="observation/state is missing"):
            client.infer({k: v for k, v in seen.items() if k != "observation/state"})
    start = np.append(seen["observation/joint_degrees"], 1 - seen["observation/state"][7] / 255)
    start = np.clip(start, served.limits.low, served.limits.high)
    path = np.vstack([start, actions, second])
    assert (np.abs(np.diff(path, axis=0)) <= served.limits.step + 1e-4).all()
    wanted = joined(policy(seen))
    assert np.abs(wanted[0] - start).max() > 10  # it would have jumped


def test_without_limits_the_served_actions_are_the_policys_own(policy):
    config = service.settings()
    config.action_speed = (0.0,)
    served = service.make_service(policy, config)
    with running(served) as (_, port), PolicyClient(port=port) as client:
        reply = client.infer(own_policy.recorded(4))
    wanted = joined(policy(own_policy.recorded(4)))[: tiny_policy.EXECUTE]
    np.testing.assert_array_equal(reply["actions"], wanted)
    assert reply["clipped"] == {"range": 0, "speed": 0}


# --- Key maps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"image": "observation/rbg"}, "client_names.image is 'observation/rbg', expected a key"),
        ({"a": "action/grip", "b": "action/grip"}, "expected one name for each key"),
        ({"action/joints": "action/grip"}, "expected one name for each key"),
        ({"a[b": "action/grip"}, "expected a key"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, said):
    values = foreign_data.key_map("somewhere", True, client_names=names)
    with pytest.raises(key_map.DataError, match=said):
        key_map.read("arm", values, arms=1)


def test_actions_come_in_the_stored_order_with_zeros_where_nothing_is_picked():
    values = {
        "path": "somewhere",
        "rate_hz": 10.0,
        "views": {"front": "observation/image", "wrist": "observation/wrist_image"},
        "proprio": "observation/state",
        "action": ("action[2:4],grip", "action[0]"),
        "action_scale": (1.0, 1.0, 2.0, -1.0),
        "client_names": {"image": "observation/image"},
    }
    aim = Aim(Layout(1, 8, True, 3, 4, views=("front", "wrist")), 10.0, "other")
    stored = {
        "observation/image": [[None, None, 3], "uint8"],
        "observation/wrist_image": [[9, 9, 3], "uint8"],
        "observation/state": [[3], "int64"],
        "action": [[5], "float32"],
        "grip": [[], "float32"],
    }
    form = RawForm(key_map.read("arm", values, arms=1), aim, stored)
    assert form.parts == {"action": 5, "grip": 1}
    found = form.actions(np.array([[[1.0, 2.0, 3.0, 4.0]]]))
    np.testing.assert_array_equal(found, [[[-4, 0, 1, 2, 0, 1.5]]])
    assert form.spec["image"][0] == (None, None, 3)
    assert form.spec["observation/state"] == ((3,), np.float64)  # whole numbers are not rounded to
    sent = {"image": np.zeros((5, 7, 3), np.uint8), "observation/state": np.arange(3)}
    seen = form.observation(sent | {"observation/wrist_image": np.ones((9, 9, 3), np.uint8)})
    assert {name: array.shape for name, array in seen.items()} == {
        "image_front": (8, 8, 3), "image_wrist": (8, 8, 3), "ee_pose": (10,), "proprio": (3,)
    }  # fmt: skip
