"""Where rays from one eye meet MuJoCo's primitive geoms: distance and shading, in plain JAX.

A ray is eye + t * d with the eye at the origin of the camera frame and d = (x, y, -1), not
normalised, so t is the depth along the camera's axis. The components of d are separate arrays:
trailing axes of length 3 are an order of magnitude slower on a CPU.

All rays of a view leave one eye and all primitives but the plane are convex, so whether the eye
is inside a geom is one fact per geom and view. Outside, the first root along the line is the
hit; inside, the second, as in `mujoco.mj_ray`. One sign, `side`, selects it for all rays.

Every function below takes the `Rays` and one `Solid` and returns (t, lambert), where t is inf
where the ray misses and lambert is the cosine between the outward normal and the light.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from mujoco import mjtGeom

# Keeps divisions finite for rays that run along an axis or a face.
_TINY = 1e-12


class Rays(NamedTuple):
    """Directions (x, y, -1) of shape (V, P), their squared length, and their cosine with the light.

    Attributes:
      x, y: right and up components in the camera frame, (V, P).
      squared: x^2 + y^2 + 1, (V, P).
      light: d . l with l the unit vector towards the light, (V, P).
    """

    x: jax.Array
    y: jax.Array
    squared: jax.Array
    light: jax.Array

    def dot(self, vector: list) -> jax.Array:
        """d . vector, for a vector given as three (V, 1) components in the camera frame."""
        return self.x * vector[0] + self.y * vector[1] - vector[2]


class Solid(NamedTuple):
    """One geom as the views see it; vectors are lists of three (V, 1) components, metres.

    Attributes:
      index: index of the geom in the model.
      kind: MuJoCo's geom type, a key of INTERSECT.
      size: MuJoCo's three sizes of the geom, plain numbers.
      centre: position in the camera frame.
      axes: the geom's x, y and z axes in the camera frame.
      eye: the eye in the geom's frame.
      light: the unit vector towards the light in the geom's frame.
    """

    index: int
    kind: int
    size: np.ndarray
    centre: list
    axes: list
    eye: list
    light: list


def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


# where() and not jnp.minimum: the latter propagates NaN, at twice the instructions.
def _lower(a, b):
    return jnp.where(a < b, a, b)


def _upper(a, b):
    return jnp.where(a > b, a, b)


def _side(inside):
    return jnp.where(inside, 1.0, -1.0).astype(jnp.float32)


def _visible(t, hit):
    return jnp.where(hit & (t > 0), t, jnp.inf)


def plane(rays: Rays, solid: Solid):
    """A plane seen from its front only; sizes of 0 are infinite, as in `mj_ray`."""
    slope = rays.dot(solid.axes[2])
    t = -solid.eye[2] / slope
    hit = slope < 0
    for axis in (0, 1):
        if solid.size[axis] > 0:
            across = solid.eye[axis] + t * rays.dot(solid.axes[axis])
            hit &= jnp.abs(across) <= solid.size[axis]
    return _visible(t, hit), jnp.broadcast_to(solid.light[2], t.shape)


def sphere(rays: Rays, solid: Solid):
    """|t d - c|^2 = r^2."""
    radius = solid.size[0]
    b = rays.dot(solid.centre)
    c = _dot(solid.eye, solid.eye) - radius**2
    root = b * b - rays.squared * c
    t = (b + _side(c < 0) * jnp.sqrt(_upper(root, 0.0))) / rays.squared
    lambert = (t * rays.light + _dot(solid.eye, solid.light)) * (1 / radius)
    return _visible(t, root >= 0), lambert


def capsule(rays: Rays, solid: Solid):
    """An infinite cylinder, and beyond its ends the sphere at the end that the line enters."""
    radius, half = solid.size[0], solid.size[1]
    slope, along = rays.dot(solid.axes[2]), rays.dot(solid.centre)
    height = solid.eye[2]
    across = _dot(solid.eye, solid.eye) - height**2
    beyond = _upper(jnp.abs(height) - half, 0.0)
    side = _side(across + beyond**2 < radius**2)
    # Cylinder: A t^2 - 2 B t + C = 0 for the components across the axis.
    a = _upper(rays.squared - slope * slope, _TINY)
    b = along + slope * height
    root = b * b - a * (across - radius**2)
    t = (b + side * jnp.sqrt(_upper(root, 0.0))) / a
    # Sphere at the end on that side; `end` is the height of the nearest point of the segment.
    end = jnp.where(t * slope + height > 0, half, -half)
    b_end = along + slope * end
    c_end = across + (height - end) ** 2 - radius**2
    root_end = b_end * b_end - rays.squared * c_end
    t_end = (b_end + side * jnp.sqrt(_upper(root_end, 0.0))) / rays.squared
    on_side = jnp.abs(t * slope + height) <= half
    t = jnp.where(on_side, t, t_end)
    foot = jnp.where(on_side, t * slope + height, end)
    lambert = (t * rays.light + _dot(solid.eye, solid.light) - foot * solid.light[2]) * (1 / radius)
    return _visible(t, (root >= 0) & (on_side | (root_end >= 0))), lambert


def ellipsoid(rays: Rays, solid: Solid):
    """A unit sphere in coordinates divided by the semi-axes."""
    d = [rays.dot(axis) * (1 / size) for axis, size in zip(solid.axes, solid.size, strict=True)]
    o = [eye * (1 / size) for eye, size in zip(solid.eye, solid.size, strict=True)]
    a, b, c = _dot(d, d), -_dot(d, o), _dot(o, o) - 1
    root = b * b - a * c
    t = (b + _side(c < 0) * jnp.sqrt(_upper(root, 0.0))) / a
    normal = [
        (eye + t * slope) * (1 / size) for eye, slope, size in zip(o, d, solid.size, strict=True)
    ]
    lambert = _dot(normal, solid.light) * jax.lax.rsqrt(_upper(_dot(normal, normal), _TINY))
    return _visible(t, root >= 0), lambert


def cylinder(rays: Rays, solid: Solid):
    """An infinite cylinder cut by the slab between its two flat ends."""
    radius, half = solid.size[0], solid.size[1]
    slope, along = rays.dot(solid.axes[2]), rays.dot(solid.centre)
    height = solid.eye[2]
    across = _dot(solid.eye, solid.eye) - height**2
    inside = (across < radius**2) & (jnp.abs(height) < half)
    a = _upper(rays.squared - slope * slope, _TINY)
    b = along + slope * height
    root = b * b - a * (across - radius**2)
    reach, inverse, per_slope = jnp.sqrt(_upper(root, 0.0)), 1 / a, 1 / slope
    ends = (-half - height) * per_slope, (half - height) * per_slope
    near, far = (b - reach) * inverse, (b + reach) * inverse
    near_end, far_end = _lower(*ends), _upper(*ends)
    first, last = _upper(near, near_end), _lower(far, far_end)
    t = jnp.where(inside, last, first)
    on_end = jnp.where(inside, far_end < far, near_end > near)
    at_end = jnp.where((slope > 0) == inside, solid.light[2], -solid.light[2])
    foot = (t * slope + height) * solid.light[2]
    round_side = (t * rays.light + _dot(solid.eye, solid.light) - foot) * (1 / radius)
    return _visible(t, (root >= 0) & (first <= last)), jnp.where(on_end, at_end, round_side)


def box(rays: Rays, solid: Solid):
    """Three slabs; the normal is that of the slab entered last (or left first, from inside)."""
    inside = (
        (jnp.abs(solid.eye[0]) < solid.size[0])
        & (jnp.abs(solid.eye[1]) < solid.size[1])
        & (jnp.abs(solid.eye[2]) < solid.size[2])
    )
    first, last = -jnp.inf, jnp.inf
    lambert_first = lambert_last = 0.0
    for axis, eye, light, size in zip(solid.axes, solid.eye, solid.light, solid.size, strict=True):
        slope = rays.dot(axis)
        inverse = 1 / slope
        below, above = (-size - eye) * inverse, (size - eye) * inverse
        near, far = _lower(below, above), _upper(below, above)
        facing = jnp.where(slope > 0, -light, light)
        lambert_first = jnp.where(near > first, facing, lambert_first)
        lambert_last = jnp.where(far < last, -facing, lambert_last)
        first, last = _upper(near, first), _lower(far, last)
    t = jnp.where(inside, last, first)
    return _visible(t, first <= last), jnp.where(inside, lambert_last, lambert_first)


INTERSECT = {
    int(mjtGeom.mjGEOM_PLANE): plane,
    int(mjtGeom.mjGEOM_SPHERE): sphere,
    int(mjtGeom.mjGEOM_CAPSULE): capsule,
    int(mjtGeom.mjGEOM_ELLIPSOID): ellipsoid,
    int(mjtGeom.mjGEOM_CYLINDER): cylinder,
    int(mjtGeom.mjGEOM_BOX): box,
}


def nearest(rays: Rays, solids: list[Solid], best: tuple) -> tuple:
    """Updates best = (t, geom, lambert), each (V, P), by what the rays meet in each solid.

    Of two geoms at the same distance the one met first in the list stays, as in `mj_ray`.
    """
    t, geom, lambert = best
    for solid in solids:
        t_new, lambert_new = INTERSECT[solid.kind](rays, solid)
        closer = t_new < t
        t = jnp.where(closer, t_new, t)
        geom = jnp.where(closer, solid.index, geom)
        lambert = jnp.where(closer, lambert_new, lambert)
    return t, geom, lambert
