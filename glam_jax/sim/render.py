"""A ray caster over MuJoCo's primitive geoms in plain JAX: colour, geom index and depth.

It needs no OpenGL and runs alike on CPU, GPU and TPU. Of cameras that stand still, the rays are
constants, and so is all that they meet among geoms fixed to the world; only moving geoms are
intersected in each world. A camera that a body carries meets all geoms anew. On a CPU, jit with
`xla_cpu_use_fusion_emitters` False (see `env`).

    render = make_renderer(model, ("front", "overhead", "wrist"), size=64)
    pictures = jax.jit(jax.vmap(render))(geom_xpos, geom_xmat)      # (B, G, 3), (B, G, 3, 3)
    pictures["rgb"]                                                 # uint8 (B, 3, 64, 64, 3)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from glam_jax.sim.cameras import Eye, Grid, Views, eyes_of, is_fixed, views_of
from glam_jax.sim.intersect import INTERSECT, Rays, Solid, nearest

# About how many rays of all views are cast at a time: what a core's cache holds.
_TOGETHER = 2048


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


class Scenery(NamedTuple):
    """What the rays meet among fixed geoms, each (V, P): t (inf if nothing), geom (-1), and three
    components of the normal (0 if nothing)."""

    t: np.ndarray
    geom: np.ndarray
    normal: tuple[np.ndarray, np.ndarray, np.ndarray]


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


def _nothing(shape) -> Scenery:
    t, geom, zero = (
        np.full(shape, value, kind) for value, kind in ((np.inf, "f4"), (-1, "i4"), (0, "f4"))
    )
    return Scenery(t, geom, (zero, zero, zero))


def _scenery(views: Views, model: mujoco.MjModel, geoms) -> Scenery:
    """Casts the rays on the fixed geoms, once; three lights along the axes give the normal."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    xpos = data.geom_xpos.astype(np.float32)
    xmat = data.geom_xmat.reshape(-1, 3, 3).astype(np.float32)
    nothing = _nothing(views.x.shape)

    # All are arguments: what depends on constants alone, `ensure_compile_time_eval` evaluates
    # operation by operation, and compiles each.
    @jax.jit
    def cast(views, light, xpos, xmat, nothing):
        solids = _solids(views, model, geoms, light, xpos, xmat)
        return nearest(_rays(views, light), solids, nothing)

    start = (nothing.t, nothing.geom, nothing.normal[0])
    with jax.ensure_compile_time_eval():
        hits = [
            jax.tree.map(np.asarray, cast(views, axis, xpos, xmat, start))
            for axis in np.eye(3, dtype=np.float32)
        ]
    t, geom, _ = hits[0]
    return Scenery(t, geom, tuple(n for *_, n in hits))


def _waves(pattern: Pattern, views: Views, rays: Rays, t) -> list:
    """w of each wave where the rays are after t, (V, P) each; anything where t is inf."""
    waves = []
    for frequency, phase in zip(pattern.frequency, pattern.phase, strict=True):
        start = jnp.sum(views.position * frequency, axis=-1) + phase
        turned = _rotate(views.rotation, frequency)
        cycles = start[:, None] + t * rays.dot([turned[:, axis, None] for axis in range(3)])
        apart = cycles - jnp.round(cycles)
        waves.append(8 * apart * (1 - 2 * jnp.abs(apart)))
    return waves


def _shade(geom, lambert, look: Look, geoms, planes, waves: list) -> jax.Array:
    """Colour of each ray packed as 0xBBGGRR: albedo * (ambient + (1 - ambient) (1 + n.l) / 2).

    This wrapped form of Lambert's law tells faces apart on the dark side too. Planes fixed to the
    world have the look's waves.
    """
    brightness = look.ambient + (1 - look.ambient) * 0.5 * (1 + lambert)
    brightness = jnp.where(geom >= 0, brightness, 1.0)
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


class _Painter:
    """Casts the rays of some cameras of a model, all fixed to the world or all carried."""

    def __init__(self, model: mujoco.MjModel, eyes: list[Eye], grid: Grid, objects):
        self._model, self._eyes, self._grid, self._objects = model, eyes, grid, objects
        self._geoms = self._cast = visible_geoms(model)
        fixed = [g for g in self._geoms if is_fixed(model, int(model.geom_bodyid[g]))]
        plane = mujoco.mjtGeom.mjGEOM_PLANE
        self._planes = [g for g in fixed if model.geom_type[g] == plane]
        shape = len(eyes), len(grid.x)
        scenery, slopes = _nothing(shape), np.array([[eye.slope] for eye in eyes], np.float32)
        if eyes[0].carrier is None:
            self._cast = [g for g in self._geoms if g not in fixed]
            scenery = _scenery(views_of(eyes, grid), model, fixed)
        bands = -(-shape[0] * shape[1] // _TOGETHER)

        def banded(array):
            """(V, P) to (bands, V, P / bands), the last ray repeated."""
            more = np.pad(array, ((0, 0), (0, -shape[1] % bands)), mode="edge")
            return more.reshape(shape[0], bands, -1).swapaxes(0, 1)

        self._banded = jax.tree.map(banded, (grid.x * slopes, grid.y * slopes, scenery))

    def __call__(self, geom_xpos, geom_xmat, look: Look, light) -> tuple:
        """t, geom and packed colour of each ray, (V, P); on the objects with bit 24 set.

        An output of its own costs the loop as much as the rays do: nobody who draws colours and
        masks alone should need more than this word.
        """
        views = views_of(self._eyes, self._grid, geom_xpos, geom_xmat)
        solids = _solids(views, self._model, self._cast, light, geom_xpos, geom_xmat)

        def draw(band):
            x, y, scenery = band
            part = views._replace(x=x, y=y)
            rays = _rays(part, light)
            lambert = sum(scenery.normal[axis] * light[axis] for axis in range(3))
            t, geom, lambert = nearest(rays, solids, (scenery.t, scenery.geom, lambert))
            waves = [] if look.pattern is None else _waves(look.pattern, part, rays, t)
            word = _shade(geom, lambert, look, self._geoms, self._planes, waves)
            for index in self._objects:
                word |= (geom == index).astype(jnp.int32) << 24
            return t, geom, word

        def whole(array):
            return array.swapaxes(0, 1).reshape(len(self._eyes), -1)[:, : len(self._grid.x)]

        # The loop keeps a band in cache, and it parts this work from the interleaving of
        # colours in `render`: fused together, all rays would be cast per colour, not vectorised.
        return jax.tree.map(whole, jax.lax.map(draw, self._banded))


def make_renderer(
    model: mujoco.MjModel,
    cameras: tuple[str, ...],
    size: int,
    *,
    objects: Sequence[int] = (),
    antialias: bool = False,
) -> Callable:
    """Builds the renderer of one model from its named cameras (pose and fovy).

    Args:
      model: geoms of groups 0 to 2 with alpha above 0 are drawn; all must be primitives.
      cameras: names, in the order of the views V.
      size: side of the square pictures in pixels.
      objects: geoms that the mask shows.
      antialias: colours are means of a pixel's centre and corners (`cameras.Grid`), at twice the
        cost; mask, geom and depth stay those of the centre.

    Returns:
      render(geom_xpos (G, 3), geom_xmat (G, 3, 3) or (G, 9), look=None) for one world, pure:
      "rgb" uint8 (V, H, W, 3); "mask" uint8 (V, H, W), 1 on the objects; "geom" int32 (V, H, W),
      -1 on the background; "depth" float32 (V, H, W), metres along the ray, inf on the background.
      `look` is a `Look`, by default `default_look(model)`. Geoms fixed to the world are drawn
      where the model has them.

    Raises:
      ValueError: no or an unknown camera, one that moves with a body without geoms, a size below
        2, a geom of another type.
    """
    if not cameras or size < 2:
        raise ValueError(f"expected cameras and a size of 2 or more, found {cameras} and {size}")
    eyes, grid = eyes_of(model, cameras), Grid(size, antialias)
    still = [v for v, eye in enumerate(eyes) if eye.carrier is None]
    carried = [v for v, eye in enumerate(eyes) if eye.carrier is not None]
    groups = [[eyes[v] for v in group] for group in (still, carried) if group]
    painters = [_Painter(model, group, grid, objects) for group in groups]
    order = np.argsort(still + carried)
    slopes = np.array([eye.slope for eye in eyes], np.float32)[:, None]
    stretch = grid.central(np.sqrt((grid.x**2 + grid.y**2) * slopes**2 + 1))

    def render(geom_xpos, geom_xmat, look: Look | None = None) -> dict[str, jax.Array]:
        if geom_xpos.shape != (model.ngeom, 3) or geom_xmat.size != model.ngeom * 9:
            found = f"found {geom_xpos.shape} and {geom_xmat.shape}"
            raise ValueError(f"expected {model.ngeom} positions (3) and rotations (3, 3), {found}")
        look = default_look(model) if look is None else look
        light = look.light / jnp.linalg.norm(look.light)
        xmat = geom_xmat.reshape(model.ngeom, 3, 3)
        drawn = [painter(geom_xpos, xmat, look, light) for painter in painters]
        t, geom, word = (jnp.concatenate(parts)[order] for parts in zip(*drawn, strict=True))
        colours = [grid.mean((word >> (8 * channel)) & 255) for channel in range(3)]
        return {
            "rgb": jnp.stack(colours, axis=-1).astype(jnp.uint8),
            "mask": grid.central(word >> 24).astype(jnp.uint8),
            "geom": grid.central(geom),
            "depth": grid.central(t) * stretch,
        }

    return render
