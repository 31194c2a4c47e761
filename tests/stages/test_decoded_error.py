"""The end-effector error of decoded actions, in millimetres."""

import numpy as np

from glam_jax.sim import kinematics
from glam_jax.stages import decoded_error


def actions(*joint_changes):
    """Actions (N, 8) at the posture, each with some joints (index -> rad) turned further."""
    found = np.tile(np.append(kinematics.POSTURE, 1.0), (len(joint_changes), 1))
    for action, change in zip(found, joint_changes, strict=True):
        for joint, angle in change.items():
            action[joint] += angle
    return found.astype(np.float32)


def test_equal_actions_are_no_distance_apart():
    np.testing.assert_array_equal(decoded_error.ee_distance_mm(actions({}), actions({})), [[0.0]])


def test_a_turned_base_moves_the_gripper_along_a_chord():
    position, _ = kinematics.forward(kinematics.POSTURE)
    radius = np.linalg.norm(np.asarray(position)[:2])  # joint 1 turns about the vertical
    distance = decoded_error.ee_distance_mm(actions({0: 0.03}, {0: 0.2}), actions({}, {}))
    expected = 2000 * radius * np.sin(np.array([0.03, 0.2]) / 2)
    np.testing.assert_allclose(distance[:, 0], expected, rtol=1e-3)
    assert distance[0, 0] > 10  # what 0.03 rad can mean


def test_the_gripper_command_and_the_last_joint_do_not_move_the_gripper():
    other = actions({6: 0.5, 7: -1.0})
    np.testing.assert_allclose(decoded_error.ee_distance_mm(actions({}), other), 0.0, atol=1e-2)


def test_each_arm_has_its_own_distance():
    still, turned = actions({}), actions({0: 0.1})
    both = np.concatenate([still, turned], axis=1)[None]
    distance = decoded_error.ee_distance_mm(both, np.concatenate([still, still], axis=1)[None])
    assert distance.shape == (1, 1, 2)
    assert distance[0, 0, 0] == 0.0
    np.testing.assert_allclose(distance[0, 0, 1], decoded_error.ee_distance_mm(turned, still)[0, 0])


def test_summary_pools_all_distances():
    found = decoded_error.summary([np.array([[0.0], [10.0]]), np.array([[20.0]])], "heldout_ee_mm")
    assert set(found) == {"heldout_ee_mm", "heldout_ee_mm_p95"}
    np.testing.assert_allclose(found["heldout_ee_mm"], 10.0)
    np.testing.assert_allclose(found["heldout_ee_mm_p95"], 19.0)


def test_where_the_gripper_begins_to_open_or_close():
    distance = np.arange(2 * 4 * 2, dtype=np.float32).reshape(2, 4, 2)
    action = np.zeros((2, 4, 16), np.float32)
    action[0, 2:, 7] = 1.0  # the first arm of the first chunk opens at its third transition
    action[1, :, 15] = [1.0, 0.8, 0.9, 0.1]  # the second arm of the second closes at its last
    valid = np.ones((2, 4), bool)
    found = decoded_error.at_the_grip(distance, action, valid)
    np.testing.assert_array_equal(found, [distance[0, 2, 0], distance[1, 3, 1]])
    valid[1, 3] = False
    found = decoded_error.at_the_grip(distance, action, valid)
    np.testing.assert_array_equal(found, [distance[0, 2, 0]])
