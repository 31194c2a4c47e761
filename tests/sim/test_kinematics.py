"""Kinematics against MuJoCo, and inverse kinematics as a function of the pose."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from glam_jax.sim import kinematics, robots, scenes, tasks


@pytest.fixture(scope="module")
def poses():
    """Positions (N, 3) and yaws (N,) over the workspace."""
    rng = np.random.default_rng(0)
    position = rng.uniform([0.32, -0.2, 0.02], [0.6, 0.2, 0.25], (200, 3))
    return position.astype(np.float32), rng.uniform(-1.0, 1.0, 200).astype(np.float32)


@pytest.fixture(scope="module")
def solve():
    def one(position, yaw, start):
        return kinematics.inverse(position, kinematics.pointing_down(yaw), start, iterations=100)

    return jax.jit(jax.vmap(one))


def test_forward_agrees_with_mujoco():
    model = scenes.build(robots.ROBOTS["kinova"], tasks.TASKS["lifting"].objects)
    data = mujoco.MjData(model)
    joints = np.random.default_rng(1).uniform(-2, 2, (20, 7))
    position, rotation = kinematics.forward(jnp.asarray(joints, jnp.float32))
    for i, values in enumerate(joints):
        data.qpos[:7] = values
        mujoco.mj_kinematics(model, data)
        tcp = data.site("arm0_tcp")
        np.testing.assert_allclose(position[i], tcp.xpos, atol=2e-6)
        np.testing.assert_allclose(rotation[i], tcp.xmat.reshape(3, 3), atol=5e-6)


def test_forward_places_the_base():
    joints = jnp.asarray(kinematics.POSTURE, jnp.float32)
    position, rotation = kinematics.forward(joints)
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved, moved_rotation = kinematics.forward(joints, np.array([1.0, 2.0, 0.5]), turned)
    np.testing.assert_allclose(moved, turned @ position + np.array([1.0, 2.0, 0.5]), atol=1e-5)
    np.testing.assert_allclose(moved_rotation, turned @ rotation, atol=1e-5)


def test_inverse_reaches_every_pose_of_the_workspace(poses, solve):
    start = np.tile(kinematics.POSTURE.astype(np.float32), (len(poses[0]), 1))
    joints = solve(*poses, start)
    position, rotation = kinematics.forward(joints)
    np.testing.assert_allclose(position, poses[0], atol=1e-3)
    np.testing.assert_allclose(rotation, kinematics.pointing_down(poses[1]), atol=1e-3)
    assert np.all(np.abs(joints) <= kinematics.JOINT_LIMITS)


def test_inverse_is_a_function_of_the_pose(poses, solve):
    start = np.tile(kinematics.POSTURE.astype(np.float32), (len(poses[0]), 1))
    other = start + np.random.default_rng(2).uniform(-0.3, 0.3, start.shape).astype(np.float32)
    np.testing.assert_allclose(solve(*poses, start), solve(*poses, other), atol=2e-3)


def test_rotation_6d_round_trip():
    quaternions = np.random.default_rng(3).normal(size=(50, 4)).astype(np.float32)
    rotation = kinematics.matrix_of_quaternion(quaternions)
    six = kinematics.rotation_6d(rotation)
    np.testing.assert_array_equal(six[:, :3], rotation[:, :, 0])
    np.testing.assert_allclose(kinematics.matrix_from_6d(six), rotation, atol=1e-5)


def test_matrix_from_6d_orthonormalises_what_a_network_gives():
    six = np.random.default_rng(4).normal(size=(50, 6)).astype(np.float32)
    rotation = np.asarray(kinematics.matrix_from_6d(six))
    identity = rotation @ rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(identity, np.tile(np.eye(3), (50, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)


def test_angles_zyx_rebuild_the_rotation():
    yaw, pitch, roll = 0.7, -0.4, 0.3
    about_y = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]]
    )
    rotation = kinematics.turn_about_z(jnp.float32(yaw)) @ about_y @ about_x
    np.testing.assert_allclose(kinematics.angles_zyx(rotation), [yaw, pitch, roll], atol=1e-6)


def test_ee_pose_of_action_is_the_commanded_pose():
    action = np.append(kinematics.POSTURE, 0.25).astype(np.float32)
    pose = kinematics.ee_pose_of_action(action)
    position, rotation = kinematics.forward(action[:7])
    np.testing.assert_allclose(pose[:3], position)
    np.testing.assert_allclose(kinematics.matrix_from_6d(pose[3:9]), rotation, atol=1e-5)
    assert pose[9] == np.float32(0.25)
