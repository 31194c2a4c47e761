"""A ray caster over MuJoCo's primitive geoms in plain JAX: colour, geom index and depth.

It needs no OpenGL and runs alike on CPU, GPU and TPU. The cameras stand still, so the rays are
constants, and so is all that they meet among geoms fixed to the world; only moving geoms are
intersected in each world. On a CPU, jit with `xla_cpu_use_fusion_emitters` False (see `env`).

    render = make_renderer(model, ("front", "overhead"), size=64)
    pictures = jax.jit(jax.vmap(render))(geom_xpos, geom_xmat)      # (B, G, 3), (B, G, 3, 3)
    pictures["rgb"]                                                 # uint8 (B, 2, 64, 64, 3)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from glam_jax.sim.intersect import INTERSECT, Rays, Solid, nearest

# Fewest bands of rows that a picture is drawn in, one after the other.
_BANDS = 4
# Where in a pixel, in pixels from its centre, rays go through; the first tells geom and depth.
_CENTRE = ((0.0, 0.0),)
_QUINCUNX = (*_CENTRE, (-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


class Pattern(NamedTuple):
    """N waves of colour over planes fixed to the world, as the cloth of a table.

    At a world point p, albedo * (1 + sum_n contrast_n w(frequency_n . p + phase_n)), where
    w(c) = 8 s (1 - 2 |s|), s = c - round(c), is close to sin(2 pi c), and cheaper.

    Attributes:
      frequency: (N, 3) cycles per metre. phase: (N,) cycles. contrast: (N, 3), by colour channel.
    """

    frequency: jax.Array
    phase: jax.Array
    contrast: jax.Array


class Look(NamedTuple):
    """How one world looks. Colours and brightness are in [0, 1].

    Attributes:
      colours: colour of each geom, (G, 3).
      light: vector from the scene towards the directional light, world frame, (3,), any length.
      ambient: brightness of a surface that faces straight away from the light, a scalar.
      background: colour where a ray meets nothing, (3,).
      pattern: on planes fixed to the world; None: they are of one colour.
    """

    colours: jax.Array
    light: jax.Array
    ambient: jax.Array
    background: jax.Array
    pattern: Pattern | None = None


class Views(NamedTuple):
    """Fixed pinhole cameras: position (V, 3), axes as rows (V, 3, 3), rays x and y (V, P)."""

    position: np.ndarray
    rotation: np.ndarray
    x: np.ndarray
    y: np.ndarray


class Scenery(NamedTuple):
    """What the rays meet among fixed geoms, each (V, P): t (inf if nothing), geom (-1), and three
    components of the normal and of the world point (0 if nothing)."""

    t: np.ndarray
    geom: np.ndarray
    normal: tuple[np.ndarray, np.ndarray, np.ndarray]
    point: tuple[np.ndarray, np.ndarray, np.ndarray]


def default_look(model: mujoco.MjModel) -> Look:
    """The colours of `geom_rgba` (materials are ignored) under one light, high and oblique."""
    return Look(
        colours=model.geom_rgba[:, :3].astype(np.float32),
        light=np.array([0.35, 0.45, 0.85], np.float32),
        ambient=np.float32(0.35),
        background=np.array([0.62, 0.70, 0.78], np.float32),
    )


def visible_geoms(model: mujoco.MjModel) -> list[int]:
    """Indices of the geoms that are drawn: of groups 0 to 2 and with an alpha above 0.

    Raises ValueError if one of them is no primitive (a mesh, a height field).
    """
    shown = np.flatnonzero((model.geom_rgba[:, 3] > 0) & (model.geom_group < 3))
    for index in shown:
        kind = int(model.geom_type[index])
        if kind not in INTERSECT:
            known = [mujoco.mjtGeom(key).name for key in INTERSECT]
            raise ValueError(
                f"geom {model.geom(index).name!r} (index {index}) is a"
                f" {mujoco.mjtGeom(kind).name}; the renderer draws {known}"
            )
    return [int(index) for index in shown]


def _is_fixed(model: mujoco.MjModel, body: int) -> bool:
    # A mocap body counts as welded to the world, but it is moved from outside.
    return model.body_weldid[body] == 0 and model.body_mocapid[model.body_rootid[body]] < 0


def _views(
    model: mujoco.MjModel, data: mujoco.MjData, names: tuple[str, ...], size: int, offset
) -> Views:
    """Rays through a point of each pixel, row by row from the top left, as MuJoCo's pictures."""
    known = [model.camera(index).name for index in range(model.ncam)]
    pixel = (np.arange(size) + 0.5) / size * 2 - 1
    parts = []
    for name in names:
        if name not in known:
            raise ValueError(f"the model has no camera {name!r}; it has {known}")
        camera = model.camera(name)
        if not _is_fixed(model, int(camera.bodyid[0])):
            raise ValueError(f"camera {name!r} moves; the renderer needs cameras that stand still")
        scale = np.tan(np.deg2rad(camera.fovy[0]) / 2)
        x, y = np.meshgrid(
            (pixel + 2 * offset[0] / size) * scale, -(pixel + 2 * offset[1] / size) * scale
        )
        axes = data.cam_xmat[camera.id].reshape(3, 3).T
        parts.append((data.cam_xpos[camera.id], axes, x.ravel(), y.ravel()))
    return Views(*(np.stack(part).astype(np.float32) for part in zip(*parts, strict=True)))


def _rotate(matrix, vector):
    # Spelled out and not a dot, whose inputs TPU and GPU would round to bfloat16 or TF32.
    return jnp.sum(matrix * vector[..., None, :], axis=-1)


def _rays(views: Views, light) -> Rays:
    towards = _rotate(views.rotation, light)
    along = views.x * towards[:, :1] + views.y * towards[:, 1:2] - towards[:, 2:]
    return Rays(views.x, views.y, views.x**2 + views.y**2 + 1, along)


def _solids(views: Views, model: mujoco.MjModel, geoms, light, xpos, xmat) -> list[Solid]:
    """The geoms as each view sees them, for a unit light, xpos (G, 3) and xmat (G, 3, 3)."""
    if not geoms:
        return []
    index = np.array(geoms)
    turn = views.rotation[:, None]
    offset = xpos[index] - views.position[:, None]
    frames = jnp.swapaxes(xmat[index], -1, -2)
    centre = _rotate(turn, offset)
    axes = _rotate(turn[:, :, None], jnp.broadcast_to(frames, (len(turn), *frames.shape)))
    eye = -_rotate(frames, offset)
    towards = jnp.broadcast_to(_rotate(frames, light), eye.shape)

    def components(array):
        return [array[:, axis, None] for axis in range(3)]

    return [
        Solid(
            index=geom,
            kind=int(model.geom_type[geom]),
            size=model.geom_size[geom].astype(np.float32),
            centre=components(centre[:, slot]),
            axes=[components(axes[:, slot, axis]) for axis in range(3)],
            eye=components(eye[:, slot]),
            light=components(towards[:, slot]),
        )
        for slot, geom in enumerate(geoms)
    ]


def _scenery(views: Views, model: mujoco.MjModel, data: mujoco.MjData, geoms) -> Scenery:
    """Casts the rays on the fixed geoms, once; three lights along the axes give the normal."""
    shape = views.x.shape
    nothing = tuple(
        np.full(shape, value, kind) for value, kind in ((np.inf, "f4"), (-1, "i4"), (0, "f4"))
    )
    xpos = data.geom_xpos.astype(np.float32)
    xmat = data.geom_xmat.reshape(-1, 3, 3).astype(np.float32)

    # All are arguments: what depends on constants alone, `ensure_compile_time_eval` evaluates
    # operation by operation, and compiles each.
    @jax.jit
    def cast(views, light, xpos, xmat, nothing):
        solids = _solids(views, model, geoms, light, xpos, xmat)
        return nearest(_rays(views, light), solids, nothing)

    with jax.ensure_compile_time_eval():
        hits = [
            jax.tree.map(np.asarray, cast(views, axis, xpos, xmat, nothing))
            for axis in np.eye(3, dtype=np.float32)
        ]
    t, geom, _ = hits[0]
    along = np.stack([views.x, views.y, np.full(shape, -1.0, np.float32)], axis=-1)
    along = np.einsum("vpc,vcx->vpx", along, views.rotation)
    points = views.position[:, None] + np.where(geom >= 0, t, 0.0)[..., None] * along
    points = np.where((geom >= 0)[..., None], points, 0.0).astype(np.float32)
    return Scenery(t, geom, tuple(n for *_, n in hits), tuple(np.moveaxis(points, -1, 0)))


def _samples(model: mujoco.MjModel, cameras, size: int, fixed, offsets) -> list:
    """(Views, Scenery) for each offset of the rays in their pixels."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    views = [_views(model, data, cameras, size, offset) for offset in offsets]
    return [(sample, _scenery(sample, model, data, fixed)) for sample in views]


def _shade(geom, lambert, look: Look, geoms, planes, scenery: Scenery) -> jax.Array:
    """Colour of each ray packed as 0xBBGGRR: albedo * (ambient + (1 - ambient) (1 + n.l) / 2).

    This wrapped form of Lambert's law tells faces apart on the dark side too. Planes in the
    scenery have the look's pattern.
    """
    brightness = look.ambient + (1 - look.ambient) * 0.5 * (1 + lambert)
    brightness = jnp.where(geom >= 0, brightness, 1.0)
    waves = []
    if look.pattern is not None:
        for frequency, phase in zip(look.pattern.frequency, look.pattern.phase, strict=True):
            cycles = sum(frequency[axis] * scenery.point[axis] for axis in range(3))
            cycles = cycles + phase
            apart = cycles - jnp.round(cycles)
            waves.append(8 * apart * (1 - 2 * jnp.abs(apart)))
    word = jnp.zeros(geom.shape, jnp.int32)
    for channel in range(3):
        albedo = look.background[channel]
        for index in geoms:
            colour = look.colours[index, channel]
            if waves and index in planes:
                contrast = look.pattern.contrast[:, channel]
                colour *= 1 + sum(c * wave for c, wave in zip(contrast, waves, strict=True))
            albedo = jnp.where(geom == index, colour, albedo)
        level = jnp.clip(albedo * brightness * 255 + 0.5, 0, 255).astype(jnp.int32)
        word |= level << (8 * channel)
    return word


def _to_bands(parts: list, bands: int):
    """Leaves (V, P), one tree a sample, to leaves (samples * bands, V, P / bands)."""

    def split(*leaves):
        views = len(leaves[0])
        banded = jnp.stack(leaves).reshape(len(leaves), views, bands, -1)
        return banded.swapaxes(1, 2).reshape(len(leaves) * bands, views, -1)

    return jax.tree.map(split, *parts)


def _from_bands(array: jax.Array, bands: int, size: int) -> jax.Array:
    """(samples * bands, V, P / bands) to (samples, V, H, W)."""
    views = array.shape[1]
    return (
        array.reshape(-1, bands, views, size * size // bands)
        .swapaxes(1, 2)
        .reshape(-1, views, size, size)
    )


def make_renderer(
    model: mujoco.MjModel, cameras: tuple[str, ...], size: int, *, antialias: bool = False
) -> Callable:
    """Builds the renderer of one model from its named fixed cameras (pose and fovy).

    Args:
      model: geoms of groups 0 to 2 with alpha above 0 are drawn; all must be primitives.
      cameras: names, in the order of the views V. Cameras must not move.
      size: side of the square pictures in pixels.
      antialias: average the colour of five rays a pixel; geom and depth stay those of the
        central one. Costs five times as much.

    Returns:
      render(geom_xpos (G, 3), geom_xmat (G, 3, 3) or (G, 9), look=None) for one world, pure:
      "rgb" uint8 (V, H, W, 3); "geom" int32 (V, H, W), -1 on the background; "depth" float32
      (V, H, W), metres along the ray, inf on the background. `look` is a `Look`, by default
      `default_look(model)`. Geoms fixed to the world are drawn where the model has them.

    Raises:
      ValueError: no or an unknown or a moving camera, a size below 2, a geom of another type.
    """
    if not cameras or size < 2:
        raise ValueError(f"expected cameras and a size of 2 or more, found {cameras} and {size}")
    geoms = visible_geoms(model)
    fixed = [g for g in geoms if _is_fixed(model, int(model.geom_bodyid[g]))]
    moving = [g for g in geoms if g not in fixed]
    planes = [g for g in fixed if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE]
    samples = _samples(model, cameras, size, fixed, _QUINCUNX if antialias else _CENTRE)
    central = samples[0][0]
    stretch = np.sqrt(central.x**2 + central.y**2 + 1).reshape(len(cameras), size, size)
    bands = next(count for count in range(min(_BANDS, size), size + 1) if size % count == 0)

    def render(geom_xpos, geom_xmat, look: Look | None = None) -> dict[str, jax.Array]:
        if geom_xpos.shape != (model.ngeom, 3) or geom_xmat.size != model.ngeom * 9:
            found = f"found {geom_xpos.shape} and {geom_xmat.shape}"
            raise ValueError(f"expected {model.ngeom} positions (3) and rotations (3, 3), {found}")
        look = default_look(model) if look is None else look
        light = look.light / jnp.linalg.norm(look.light)
        xmat = geom_xmat.reshape(model.ngeom, 3, 3)
        solids = _solids(central, model, moving, light, geom_xpos, xmat)

        def draw(band):
            rays, scenery = band
            lambert = sum(scenery.normal[axis] * light[axis] for axis in range(3))
            t, geom, lambert = nearest(rays, solids, (scenery.t, scenery.geom, lambert))
            return t, geom, _shade(geom, lambert, look, geoms, planes, scenery)

        # The loop keeps a band in cache, and it parts this work from the interleaving of
        # colours below: fused together, all rays would be cast per colour and not vectorised.
        parts = [(_rays(views, light), scenery) for views, scenery in samples]
        drawn = jax.lax.map(draw, _to_bands(parts, bands))
        t, geom, word = (_from_bands(array, bands, size) for array in drawn)
        levels = [(word >> (8 * channel)) & 255 for channel in range(3)]
        mean = [(jnp.sum(level, 0) + len(samples) // 2) // len(samples) for level in levels]
        return {
            "rgb": jnp.stack(mean, axis=-1).astype(jnp.uint8),
            "geom": geom[0],
            "depth": t[0] * stretch,
        }

    return render
