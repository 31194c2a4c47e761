"""Cameras of a model, fixed to the world or carried by a body, and the rays that pictures need."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np


class Views(NamedTuple):
    """Pinhole cameras of a world: position (V, 3), axes as rows (V, 3, 3), rays x and y (V, P)."""

    position: jax.Array
    rotation: jax.Array
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Eye:
    """One camera.

    Attributes:
      carrier: a geom of the body that carries it; None if the camera is fixed to the world.
      position: (3,) m, and axes: (3, 3), its x, y and z as rows, in the frame of the carrier or
        of the world.
      slope: tangent of half the field of view.
    """

    carrier: int | None
    position: np.ndarray
    axes: np.ndarray
    slope: float


def is_fixed(model: mujoco.MjModel, body: int) -> bool:
    """Whether a body never moves."""
    # A mocap body counts as welded to the world, but it is moved from outside.
    return model.body_weldid[body] == 0 and model.body_mocapid[model.body_rootid[body]] < 0


def eyes_of(model: mujoco.MjModel, names: tuple[str, ...]) -> list[Eye]:
    """The named cameras.

    Raises:
      ValueError: an unknown camera, or one that moves with a body without geoms.
    """
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    known = [model.camera(index).name for index in range(model.ncam)]
    eyes = []
    for name in names:
        if name not in known:
            raise ValueError(f"the model has no camera {name!r}; it has {known}")
        camera = model.camera(name)
        body, carrier = int(camera.bodyid[0]), None
        position, axes = data.cam_xpos[camera.id], data.cam_xmat[camera.id].reshape(3, 3).T
        if not is_fixed(model, body):
            if not model.body_geomnum[body]:
                raise ValueError(f"camera {name!r} is carried by a body without geoms")
            carrier = int(model.body_geomadr[body])
            turn = data.geom_xmat[carrier].reshape(3, 3)
            position, axes = (position - data.geom_xpos[carrier]) @ turn, axes @ turn
        slope = float(np.tan(np.deg2rad(camera.fovy[0]) / 2))
        eyes.append(Eye(carrier, position.astype(np.float32), axes.astype(np.float32), slope))
    return eyes


def views_of(eyes: list[Eye], grid: "Grid", geom_xpos=None, geom_xmat=None) -> Views:
    """The cameras, all fixed or all carried, where the geoms (G, 3), (G, 3, 3) put them."""
    slopes = np.array([[eye.slope] for eye in eyes], np.float32)
    position, axes = np.stack([eye.position for eye in eyes]), np.stack([eye.axes for eye in eyes])
    if eyes[0].carrier is not None:
        carriers = np.array([eye.carrier for eye in eyes])
        turn = geom_xmat[carriers]
        position = geom_xpos[carriers] + jnp.sum(turn * position[:, None], axis=-1)
        axes = jnp.sum(turn[:, None] * axes[:, :, None], axis=-1)
    return Views(position, axes, grid.x * slopes, grid.y * slopes)


class Grid:
    """Where rays go through square pictures: each pixel's centre, and corners to antialias.

    A pixel's colour is then half its centre's and an eighth that of each of its corners, which it
    shares with its neighbours: two rays a pixel do as well as others' four.

    Attributes:
      x, y: to the right and up, from -1 to 1 at the picture's borders, (P,), the centres first, row
        by row from the top left, as MuJoCo's pictures.
    """

    def __init__(self, size: int, antialias: bool):
        self._size, self._antialias = size, antialias
        centres, corners = np.arange(size) * 2 + 1 - size, np.arange(size + 1) * 2 - size
        places = [np.meshgrid(centres, -centres)]
        if antialias:
            places.append(np.meshgrid(corners, -corners))
        self.x, self.y = (
            np.concatenate([place.ravel() for place in axis]).astype(np.float32) / size
            for axis in zip(*places, strict=True)
        )

    def central(self, array):
        """What the rays through centres found: (V, P) to (V, H, W)."""
        return array[:, : self._size**2].reshape(-1, self._size, self._size)

    def mean(self, level: jax.Array) -> jax.Array:
        """A colour of each pixel from whole numbers of the rays: (V, P) to (V, H, W), rounded."""
        centre, side = self.central(level), self._size + 1
        if not self._antialias:
            return centre
        corner = level[:, self._size**2 :].reshape(-1, side, side)
        beside = corner[:, :, 1:] + corner[:, :, :-1]
        return (4 * centre + beside[:, 1:] + beside[:, :-1] + 4) // 8
