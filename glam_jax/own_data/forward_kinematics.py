"""Poses of a robot's bodies from its joint positions, by MuJoCo, from a URDF or MJCF file."""

from collections.abc import Sequence
from xml.etree import ElementTree

import mujoco
import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError, first_line

# What kinematics does not need: shapes, whose mesh files are often not there, and what has them.
_SHAPES = {
    "visual", "collision", "geom", "asset", "contact", "sensor", "actuator", "tendon", "equality",
    "keyframe", "skin", "deformable", "transmission", "gazebo", "light", "camera",
}  # fmt: skip


class Robot:
    """The kinematics of a robot that a file describes."""

    def __init__(self, path: str):
        """Reads the file; meshes that it names need not be there.

        Raises:
          DataError: no such file, or one that MuJoCo does not read.
        """
        self.path = path
        tree = _tree(files.path(path))
        _strip(tree)
        if tree.tag == "robot":  # URDF: a link without mass may move, and fixed links stay
            ElementTree.SubElement(ElementTree.SubElement(tree, "mujoco"), "compiler").attrib |= {
                "fusestatic": "false",
                "balanceinertia": "true",
                "boundmass": "1e-3",
                "boundinertia": "1e-6",
            }
        else:
            compiler = tree.find("compiler")
            if compiler is None:
                compiler = ElementTree.SubElement(tree, "compiler")
            compiler.attrib |= {"boundmass": "1e-3", "boundinertia": "1e-6"}
        try:
            self._model = mujoco.MjModel.from_xml_string(ElementTree.tostring(tree, "unicode"))
        except ValueError as error:
            raise DataError(
                f"robot_file {path}: not readable by MuJoCo ({first_line(error)})"
            ) from error
        self._data = mujoco.MjData(self._model)

    def check(self, joints: Sequence[str], tools: Sequence[str]) -> None:
        """Raises DataError for joints, bodies or sites that the file does not have; lists them."""
        for name in joints:
            self._joint(name)
        for name in tools:
            self._tool(name)

    def poses(
        self, joints: Sequence[str], values: np.ndarray, tool: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions (T, 3), m, and rotations (T, 3, 3) of a body or site in the file's frame.

        Args:
          joints: names. values: (T, n) their positions, rad or m. The file's other joints stay at
            their reference.
          tool: name of the body or site.
        """
        places = [self._model.jnt_qposadr[self._joint(name)] for name in joints]
        kind, index = self._tool(tool)
        position = self._data.xpos if kind == "body" else self._data.site_xpos
        rotation = self._data.xmat if kind == "body" else self._data.site_xmat
        found = np.zeros((len(values), 3)), np.zeros((len(values), 3, 3))
        for step, row in enumerate(values):
            mujoco.mj_resetData(self._model, self._data)
            self._data.qpos[places] = row
            mujoco.mj_kinematics(self._model, self._data)
            found[0][step] = position[index]
            found[1][step] = rotation[index].reshape(3, 3)
        return found

    def _joint(self, name: str) -> int:
        kinds = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
        known = {
            self._model.joint(i).name: i
            for i in range(self._model.njnt)
            if self._model.jnt_type[i] in kinds
        }
        if name not in known:
            raise DataError(f"robot_file {self.path}: no joint {name!r}, found {_list(known)}")
        return known[name]

    def _tool(self, name: str) -> tuple[str, int]:
        for kind, count in (("site", self._model.nsite), ("body", self._model.nbody)):
            for index in range(count):
                if getattr(self._model, kind)(index).name == name:
                    return kind, index
        known = [self._model.body(i).name for i in range(1, self._model.nbody)]
        known += [self._model.site(i).name for i in range(self._model.nsite)]
        raise DataError(f"robot_file {self.path}: no body or site {name!r}, found {_list(known)}")


def _tree(path: epath.Path) -> ElementTree.Element:
    """The file's elements, with those of files that it includes."""
    try:
        tree = ElementTree.fromstring(files.read_bytes(path))
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"robot_file {path}: not readable ({first_line(error)})") from error
    for above in list(tree.iter()):
        for place, child in reversed(list(enumerate(above))):
            if child.tag == "include":
                above[place : place + 1] = list(_tree(path.parent / child.get("file", "")))
    return tree


def _strip(element: ElementTree.Element) -> None:
    for child in list(element):
        if child.tag in _SHAPES:
            element.remove(child)
        else:
            _strip(child)


def _list(names) -> str:
    return ", ".join(names) or "none"
