"""Rotations as other people store them, to the first two columns of the rotation matrix."""

import chex
import numpy as np
from scipy.spatial.transform import Rotation

# Form -> numbers per rotation; Euler angles (euler_xyz, euler_ZYX, ...) are recognised apart.
_WIDTHS = {
    "quaternion_xyzw": 4,
    "quaternion_wxyz": 4,
    "rotation_vector": 3,
    "6d": 6,
    "6d_rows": 6,
    "matrix": 9,
    "matrix_4x4": 16,
    "matrix_4x4_columns": 16,
}
# Which numbers of a 4 x 4 matrix of a pose, stored row after row or column after column, are the
# position.
POSES = {"matrix_4x4": [3, 7, 11], "matrix_4x4_columns": [12, 13, 14]}
FORMS = (*_WIDTHS, "euler_<axes>")
# How far a stored rotation may be from a proper one before it is taken for something else.
_TOLERANCE = 0.02
# Axes that are no further from orthonormal than float32 rounds are used as they are stored.
_ROUNDING = 1e-5


def width(form: str) -> int:
    """How many numbers a rotation of a form has.

    Raises:
      ValueError: an unknown form; lists the known ones.
    """
    if form in _WIDTHS:
        return _WIDTHS[form]
    axes = form.removeprefix("euler_")
    one_case = axes.islower() or axes.isupper()  # fixed or moving axes
    if form.startswith("euler_") and one_case and sorted(axes.lower()) == sorted("xyz"):
        return 3
    raise ValueError(
        f"rotation_form is {form!r}; expected one of {', '.join(FORMS)}, where <axes> is an order "
        "such as xyz (about fixed axes, first x) or ZYX (about the moving axes, first Z)"
    )


def matrices(values: np.ndarray, form: str, angle_unit: str = "rad") -> np.ndarray:
    """Stored rotations (T, n) or matrices (T, 3, 3) as proper rotation matrices (T, 3, 3).

    Args:
      values: as stored; n is `width(form)`. A flat matrix is row after row, but of
        `matrix_4x4_columns` column after column; `6d` is the first two columns, column after
        column, `6d_rows` the first two rows, row after row.
      form: one of `FORMS`; `quaternion_wxyz` has the scalar first.
      angle_unit: rad or deg, of Euler angles and rotation vectors.

    Raises:
      ValueError: for another width, or a value that is no rotation; says at which step.
    """
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    if flat.shape[1] != width(form):
        raise ValueError(f"{form} has {width(form)} numbers, found {flat.shape[1]}")
    if form.startswith("quaternion"):
        _near(np.linalg.norm(flat, axis=1), 1.0, f"length of the {form}")
        order = [1, 2, 3, 0] if form == "quaternion_wxyz" else [0, 1, 2, 3]
        return Rotation.from_quat(flat[:, order]).as_matrix()
    if form == "rotation_vector":
        return Rotation.from_rotvec(flat, degrees=angle_unit == "deg").as_matrix()
    if form.startswith("euler"):
        axes = form.removeprefix("euler_")
        return Rotation.from_euler(axes, flat, degrees=angle_unit == "deg").as_matrix()
    if form in POSES:
        stored = flat.reshape(-1, 4, 4)
        turned = stored.transpose(0, 2, 1) if form == "matrix_4x4_columns" else stored
        _near(turned[:, 3, 3], 1.0, f"last number of the {form}")
        return _from_axes(turned[:, :3, :3].reshape(-1, 9), "matrix")
    return _from_axes(flat, form)


def _from_axes(flat: np.ndarray, form: str) -> np.ndarray:
    """Matrices from two or three stored columns or rows, made orthonormal where they are not."""
    if form == "matrix":
        columns = flat.reshape(-1, 3, 3).transpose(0, 2, 1)
        _near(np.linalg.det(columns), 1.0, "determinant of the matrix")
    else:
        columns = flat.reshape(-1, 2, 3)
    first, second = columns[:, 0], columns[:, 1]
    for axis in (first, second):
        _near(np.linalg.norm(axis, axis=1), 1.0, f"length of an axis of the {form} rotation")
    _near((first * second).sum(1), 0.0, f"product of the axes of the {form} rotation")
    unit = first / np.linalg.norm(first, axis=1, keepdims=True)
    upright = second - (unit * second).sum(1, keepdims=True) * unit
    upright = upright / np.linalg.norm(upright, axis=1, keepdims=True)
    moved = np.maximum(np.abs(unit - first), np.abs(upright - second)).max(1, keepdims=True)
    first, second = np.where(moved > _ROUNDING, (unit, upright), (first, second))
    stacked = np.stack([first, second, np.cross(first, second)], axis=-1)
    return stacked.transpose(0, 2, 1) if form == "6d_rows" else stacked


def _near(found: np.ndarray, expected: float, what: str) -> None:
    off = ~(np.abs(found - expected) < _TOLERANCE)  # not >=, so that NaN is off too
    if off.any():
        step = int(np.flatnonzero(off)[0])
        raise ValueError(f"step {step}: {what} is {found[step]:.3g}, expected {expected:g}")


def six(rotation: np.ndarray) -> np.ndarray:
    """First two columns of matrices (..., 3, 3), column after column: (..., 6)."""
    chex.assert_shape(rotation, (..., 3, 3))
    return np.concatenate([rotation[..., :, 0], rotation[..., :, 1]], axis=-1)
