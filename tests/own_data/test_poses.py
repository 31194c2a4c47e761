"""Poses from joints and a robot's file, from separate columns, and of two fingers."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glam_jax.errors import DataError
from glam_jax.own_data import key_map, poses
from glam_jax.own_data.forward_kinematics import Robot

URDF = """<robot name="two_links">
  <link name="base"><visual><geometry><mesh filename="package://lost.dae"/></geometry></visual></link>
  <link name="upper"/>
  <link name="tool"/>
  <joint name="shoulder" type="revolute">
    <parent link="base"/><child link="upper"/><axis xyz="0 0 1"/>
    <origin xyz="0 0 0.5"/><limit lower="-3" upper="3" effort="1" velocity="1"/>
  </joint>
  <joint name="elbow" type="revolute">
    <parent link="upper"/><child link="tool"/><axis xyz="0 0 1"/>
    <origin xyz="0.4 0 0"/><limit lower="-3" upper="3" effort="1" velocity="1"/>
  </joint>
</robot>"""
MJCF = """<mujoco>
  <asset><mesh name="lost" file="lost.obj"/></asset>
  <worldbody>
    <body name="upper" pos="0 0 0.5">
      <joint name="shoulder" axis="0 0 1"/><geom type="mesh" mesh="lost"/>
      <body name="tool" pos="0.4 0 0">
        <joint name="elbow" axis="0 0 1"/><site name="tip" pos="0.3 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><position joint="elbow"/></actuator>
</mujoco>"""
ANGLES = np.array([[0.0, 0.0], [0.5, -0.2], [-1.0, 2.0]])
PLAIN = {"path": "somewhere", "rate_hz": 10.0, "views": {"front": "image"}}


@pytest.fixture
def robots(tmp_path):
    made = {"urdf": tmp_path / "arm.urdf", "mjcf": tmp_path / "arm.xml"}
    made["urdf"].write_text(URDF)
    made["mjcf"].write_text(MJCF)
    made["including"] = tmp_path / "scene.xml"
    made["including"].write_text('<mujoco><include file="arm.xml"/></mujoco>')
    return made


def expected():
    """Position and turn of the tool in closed form."""
    shoulder, both = ANGLES[:, 0], ANGLES.sum(1)
    position = np.stack([0.4 * np.cos(shoulder), 0.4 * np.sin(shoulder), np.full(3, 0.5)], 1)
    return position, Rotation.from_euler("z", both[:, None]).as_matrix()


@pytest.mark.parametrize("kind", ["urdf", "mjcf", "including"])
def test_forward_kinematics_need_no_meshes(robots, kind):
    position, turned = expected()
    found = Robot(str(robots[kind])).poses(("shoulder", "elbow"), ANGLES, "tool")
    np.testing.assert_allclose(found[0], position, atol=1e-9)
    np.testing.assert_allclose(found[1], turned, atol=1e-9)


def test_joints_are_read_by_name_in_degrees_and_moved_to_the_fingers(robots):
    keys = {
        "robot_file": str(robots["mjcf"]),
        "robot_tool": "tip",
        "robot_joints": ("elbow", "shoulder"),
        "joints": "state[2],state[0]",
        "joint_unit": "deg",
        "gripper": "fingers",
        "gripper_open": 0.08,
        "tool_offset": (0.1, 0.0, 0.0),
    }
    made = poses.Poses(key_map.read("arm", PLAIN | keys, arms=1))
    state = np.stack([np.rad2deg(ANGLES[:, 0]), np.zeros(3), np.rad2deg(ANGLES[:, 1])], 1)
    fingers = np.array([[0.02, -0.02], [0.04, -0.04], [0.0, 0.0]])
    position, turned, opening = made.read({"state": state, "fingers": fingers}, arms=1)
    wrist, expected_turn = expected()
    np.testing.assert_allclose(turned, expected_turn, atol=1e-9)
    np.testing.assert_allclose(position, wrist + 0.4 * expected_turn[:, :, 0], atol=1e-9)
    np.testing.assert_allclose(opening[:, 0], [0.5, 1.0, 0.0])


def test_separate_columns_and_matrices_are_joined():
    matrix = np.tile(np.eye(4), (3, 1, 1))
    position, turned = expected()
    matrix[:, :3, :3], matrix[:, :3, 3] = turned, position
    roll = Rotation.from_matrix(turned).as_euler("xyz")
    columns = {n: position[:, [i]] for i, n in enumerate("xyz")}
    columns |= {n: roll[:, [i]] for i, n in enumerate(("r", "p", "w"))}
    columns |= {"T": matrix, "F": matrix.transpose(0, 2, 1)}
    for keys in (
        {"position": "x,y,z", "rotation": "r, p, w", "rotation_form": "euler_xyz"},
        {"position": "T", "rotation": "T", "rotation_form": "matrix_4x4"},
        {"position": "F", "rotation": "F", "rotation_form": "matrix_4x4_columns"},
    ):
        made = poses.Poses(key_map.read("arm", PLAIN | keys, arms=1))
        found = made.read(columns, arms=1)
        np.testing.assert_allclose(found[0], position, atol=1e-9)
        np.testing.assert_allclose(found[1], turned, atol=1e-9)
        assert not found[2].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"robot_file": "/nowhere.urdf"}, "robot_file /nowhere.urdf: not readable"),
        ({"robot_joints": ("shoulder", "wrist")}, "no joint 'wrist', found shoulder, elbow"),
        ({"robot_tool": "hand"}, "no body or site 'hand', found upper, tool, tip"),
    ],
)
def test_what_a_robots_file_lacks_is_named(robots, change, words):
    keys = {
        "robot_file": str(robots["mjcf"]),
        "robot_tool": "tip",
        "robot_joints": ("shoulder", "elbow"),
        "joints": "state",
    }
    with pytest.raises(DataError, match=words):
        poses.Poses(key_map.read("arm", PLAIN | keys | change, arms=1))
