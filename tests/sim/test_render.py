"""The ray caster against MuJoCo's own (`mj_ray`), and the promises of its interface."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from glam_jax.sim.render import Pattern, default_look, make_renderer

SIZE = 24
CAMERAS = ("front", "held", "above", "within", "level")
# One moving and one fixed geom of every type that MuJoCo allows there; `within` stands inside
# two of them, `level` looks along axes, where divisions by zero lurk, and the brick carries `held`.
MODEL = """
<mujoco>
  <worldbody>
    <camera name="front" pos="1.6 0.1 0.9" xyaxes="0 1 0 -0.5 0 0.9" fovy="50"/>
    <camera name="above" pos="0 0 1.8" xyaxes="0 -1 0 1 0 0" fovy="60"/>
    <camera name="within" pos="0.1 -0.9 0.3" xyaxes="1 0 0 0 0 1" fovy="80"/>
    <camera name="level" pos="-1.5 0 0.2" xyaxes="0 -1 0 0 0 1" fovy="45"/>
    <geom name="floor" type="plane" size="0 0 0.1" pos="0 0 -0.5" rgba="0.5 0.4 0.3 1"/>
    <geom name="sheet" type="plane" size="0.7 0.5 0.1" rgba="0.8 0.7 0.6 1"/>
    <geom name="shell" type="ellipsoid" size="0.3 0.4 0.35" pos="0.1 -0.9 0.3" rgba="0 1 0 1"/>
    <geom name="hidden" type="box" size="0.2 0.2 0.2" pos="0.9 0 0.5" rgba="1 1 1 0"/>
    <geom name="grouped" type="box" size="0.2 0.2 0.2" pos="0.9 0 0.5" group="3"/>
    <geom name="pillar" type="cylinder" size="0.06 0.3" pos="0 0.7 0.2" euler="20 0 0"/>
    <geom name="rail" type="capsule" size="0.04 0.3" pos="-0.5 0 0.1" euler="80 30 0"/>
    <geom name="bulb" type="sphere" size="0.09" pos="-0.2 0.5 0.4"/>
    <geom name="step" type="box" size="0.1 0.2 0.03" pos="-0.3 -0.3 0.03" euler="0 0 30"/>
    <body name="moved" mocap="true" pos="0.5 0.5 0.2">
      <geom name="mocap" type="box" size="0.07 0.05 0.09" rgba="0.2 0.3 0.9 1"/>
    </body>
    <body><freejoint/><geom name="ball" type="sphere" size="0.11" rgba="0.9 0.1 0.1 1"/></body>
    <body><freejoint/><geom name="pill" type="capsule" size="0.07 0.15"/></body>
    <body><freejoint/><geom name="egg" type="ellipsoid" size="0.08 0.14 0.2"/></body>
    <body><freejoint/><geom name="can" type="cylinder" size="0.1 0.12"/></body>
    <body><freejoint/>
      <geom name="brick" type="box" size="0.06 0.1 0.16" pos="0 0 0.01" euler="0 10 0"/>
      <camera name="held" pos="0.25 0 0.3" xyaxes="0 1 0 -0.7 0 0.7" fovy="90"/>
    </body>
    <body><freejoint/><geom name="around" type="box" size="0.5 0.5 0.6"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(MODEL)


@pytest.fixture(scope="module")
def poses(model):
    """MjData of a few random scenes; in the last, a moving geom holds a camera inside it."""
    rng = np.random.default_rng(0)
    scenes = []
    for index in range(6):
        data = mujoco.MjData(model)
        joints = data.qpos.reshape(-1, 7)
        joints[:, :3] = rng.uniform([-0.6, -0.6, 0.0], [0.6, 0.6, 0.6], (len(joints), 3))
        joints[:, 3:] = rng.normal(size=(len(joints), 4))
        joints[-1, :3] = [5, 5, 5] if index < 5 else [0.2, -0.8, 0.4]
        data.mocap_pos[:] = rng.uniform(-0.3, 0.5, (1, 3))
        if index == 0:  # A brick square in front of the camera that looks along its faces.
            joints[4] = [0, 0, 0.2, 1, 0, 0, 0]
        mujoco.mj_forward(model, data)
        scenes.append(data)
    return scenes


@pytest.fixture(scope="module")
def geoms(poses):
    xpos = np.stack([data.geom_xpos for data in poses]).astype(np.float32)
    xmat = np.stack([data.geom_xmat.reshape(-1, 3, 3) for data in poses]).astype(np.float32)
    return xpos, xmat


@pytest.fixture(scope="module")
def render(model):
    return jax.jit(make_renderer(model, CAMERAS, SIZE))


@pytest.fixture(scope="module")
def pictures(render, geoms):
    xpos, xmat = geoms
    return jax.tree.map(np.asarray, jax.vmap(render)(xpos, xmat.reshape(*xpos.shape[:2], 9)))


def mujoco_rays(model, data, camera):
    """Geom index and distance of `mj_ray` through each pixel's centre."""
    camera = model.camera(camera)
    scale = np.tan(np.deg2rad(camera.fovy[0]) / 2)
    groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
    geom = np.full((SIZE, SIZE), -1)
    depth = np.full((SIZE, SIZE), np.inf)
    for row in range(SIZE):
        for column in range(SIZE):
            x, y = (column + 0.5) / SIZE * 2 - 1, 1 - (row + 0.5) / SIZE * 2
            ray = data.cam_xmat[camera.id].reshape(3, 3) @ [x * scale, y * scale, -1]
            ray /= np.linalg.norm(ray)
            hit = np.full(1, -1, np.int32)
            distance = mujoco.mj_ray(
                model, data, data.cam_xpos[camera.id], ray, groups, 1, -1, hit, None
            )
            if hit[0] >= 0:
                geom[row, column], depth[row, column] = hit[0], distance
    return geom, depth


def away_from_edges(geom):
    """True where all eight neighbours show the same geom."""
    padded = np.pad(geom, 1, mode="edge")
    same = np.ones_like(geom, bool)
    for row in range(3):
        for column in range(3):
            same &= padded[row : row + SIZE, column : column + SIZE] == geom
    return same


def test_agrees_with_mujoco(model, poses, pictures):
    compared = dict.fromkeys(range(model.ngeom), 0)
    for index, data in enumerate(poses):
        for view, camera in enumerate(CAMERAS):
            geom, depth = mujoco_rays(model, data, camera)
            found_geom, found_depth = pictures["geom"][index, view], pictures["depth"][index, view]
            inner = away_from_edges(geom)
            np.testing.assert_array_equal(found_geom[inner], geom[inner])
            # On edges a rounding may tip the choice of geom, of few rays.
            assert np.mean(found_geom != geom) < 0.01
            agree = (found_geom == geom) & (geom >= 0)
            inner &= agree
            np.testing.assert_allclose(found_depth[inner], depth[inner], rtol=1e-4)
            # A ray that grazes a round geom meets it at a depth of half the digits.
            np.testing.assert_allclose(found_depth[agree], depth[agree], rtol=1e-3)
            assert np.all(np.isinf(found_depth[found_geom < 0]))
            for key, count in zip(*np.unique(geom[agree], return_counts=True), strict=True):
                compared[key] += count
    hidden = {model.geom(name).id for name in ("hidden", "grouped")}
    assert all((compared[key] == 0) == (key in hidden) for key in compared), compared


def test_shapes_and_types(pictures):
    shape = (6, len(CAMERAS), SIZE, SIZE)
    assert pictures["rgb"].shape == (*shape, 3) and pictures["rgb"].dtype == np.uint8
    assert pictures["geom"].shape == shape and pictures["geom"].dtype == np.int32
    assert pictures["depth"].shape == shape and pictures["depth"].dtype == np.float32


def test_vmap_equals_loop(render, geoms, pictures):
    for index in range(2):
        alone = render(geoms[0][index], geoms[1][index])
        np.testing.assert_array_equal(alone["geom"], pictures["geom"][index])
        np.testing.assert_allclose(alone["depth"], pictures["depth"][index], rtol=1e-5)
        difference = alone["rgb"].astype(int) - pictures["rgb"][index]
        assert np.abs(difference).max() <= 1


def test_mask_follows_the_geom(model, geoms, render):
    """A lone ball above the scene covers the pixels whose centres project within its disc."""
    ball = model.geom("ball").id
    xpos = np.array(geoms[0][0])
    xpos[ball] = [0.0, 0.0, 1.2]
    mask = np.asarray(render(xpos, geoms[1][0])["geom"][CAMERAS.index("above")]) == ball
    # Seen from 0.6 m, a sphere of 0.11 m fills a cone of sine 0.11 / 0.6.
    tangent = np.tan(np.arcsin(0.11 / 0.6)) / np.tan(np.deg2rad(30))
    centres = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    expected = np.hypot(*np.meshgrid(centres, centres)) < tangent
    assert expected.sum() > 20
    np.testing.assert_array_equal(mask, expected)


def test_lambert_by_hand(model, geoms, render):
    """The upper sheet, normal up: albedo * (a + (1 - a) (1 + l_z) / 2), and the background."""
    look = default_look(model)
    sheet = model.geom("sheet").id
    picture = render(geoms[0][0], geoms[1][0])
    light = look.light / np.linalg.norm(look.light)
    brightness = look.ambient + (1 - look.ambient) * 0.5 * (1 + light[2])
    seen = np.asarray(picture["rgb"])[np.asarray(picture["geom"]) == sheet]
    assert len(seen) > 50
    assert np.abs(seen - 255 * look.colours[sheet] * brightness).max() <= 0.51
    sky = np.asarray(picture["rgb"])[np.asarray(picture["geom"]) == -1]
    assert len(sky) > 50
    assert np.abs(sky - 255 * look.background).max() <= 0.51


def test_waves_by_hand_on_planes_alone(model, poses, geoms, render, pictures):
    """Albedo * (1 + contrast w(f . p + phase)) on fixed planes, w(c) = 8 s (1 - 2 |s|)."""
    look = default_look(model)
    frequency, phase = np.array([[3.0, -2.0, 0.0]], np.float32), np.array([0.3], np.float32)
    contrast = np.array([[0.4, 0.0, -0.4]], np.float32)
    pattern = Pattern(frequency, phase, contrast)
    waved = np.asarray(render(geoms[0][0], geoms[1][0], look._replace(pattern=pattern))["rgb"])
    plain, geom = np.asarray(pictures["rgb"][0]), np.asarray(pictures["geom"][0])
    planes = [g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE]
    on_plane = np.isin(geom, planes)
    assert on_plane.sum() > 500
    np.testing.assert_allclose(waved[~on_plane].astype(int), plain[~on_plane], atol=1)
    for view, camera in enumerate(CAMERAS):
        points = surface_points(model, poses[0], camera, pictures["depth"][0, view])
        cycles = points @ frequency[0] + phase[0]
        apart = cycles - np.round(cycles)
        wave = 8 * apart * (1 - 2 * np.abs(apart))
        assert np.abs(wave - np.sin(2 * np.pi * cycles)).max() < 0.06
        seen = on_plane[view]
        expected = plain[view][seen] * (1 + wave[seen][:, None] * contrast)
        off = waved[view][seen] - expected.clip(0, 255)
        np.testing.assert_allclose(off, 0.0, atol=2.0)  # a view along the planes sees none


def test_shading_is_the_normal(model, poses, geoms, pictures, render):
    """Normals seen through the shading are those of the depth image's slope."""
    xpos, xmat = geoms[0][0], geoms[1][0]
    look = default_look(model)._replace(
        colours=np.ones((model.ngeom, 3), np.float32), ambient=np.float32(0)
    )
    axes = np.eye(3, dtype=np.float32)
    shaded = [render(xpos, xmat, look._replace(light=axis))["rgb"][..., 0] for axis in axes]
    normal = np.stack(shaded, -1) / 255 * 2 - 1
    drawn = pictures["geom"][0] >= 0
    np.testing.assert_allclose(np.linalg.norm(normal[drawn], axis=-1), 1, atol=0.02)
    for view, camera in enumerate(CAMERAS):
        points = surface_points(model, poses[0], camera, pictures["depth"][0, view])
        inner = away_from_edges(pictures["geom"][0, view]) & drawn[view]
        across = points[1:-1, 2:] - points[1:-1, :-2]
        up = points[:-2, 1:-1] - points[2:, 1:-1]
        slope = np.cross(across, up)
        slope /= np.linalg.norm(slope, axis=-1, keepdims=True)
        inner = inner[1:-1, 1:-1]
        cosine = np.sum(slope * normal[view, 1:-1, 1:-1], -1)
        if camera == "within":  # The normal points outward, away from an eye inside.
            cosine = np.abs(cosine)
        assert np.median(cosine[inner]) > 0.999
        assert np.mean(cosine[inner] > 0.9) > 0.95


def surface_points(model, data, camera, depth):
    """World points of a depth image (background at 1 m), (H, W, 3)."""
    camera = model.camera(camera)
    scale = np.tan(np.deg2rad(camera.fovy[0]) / 2)
    x, y = np.meshgrid(*[((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * scale] * 2)
    ray = np.stack([x, -y, -np.ones_like(x)], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    points = np.where(np.isfinite(depth), depth, 1.0)[..., None] * ray
    return points @ data.cam_xmat[camera.id].reshape(3, 3).T + data.cam_xpos[camera.id]


def test_look_is_an_argument(model, geoms, render, pictures):
    look = jax.tree.map(jnp.asarray, default_look(model))
    same = render(geoms[0][0], geoms[1][0], look)
    assert np.abs(same["rgb"].astype(int) - pictures["rgb"][0]).max() <= 1
    red = look._replace(colours=look.colours.at[:].set(jnp.array([1.0, 0.0, 0.0])))
    looks = jax.tree.map(lambda *leaves: jnp.stack(leaves), look, red)
    pair = jax.vmap(render)(geoms[0][:2], geoms[1][:2], looks)
    drawn = np.asarray(pair["geom"][1]) >= 0
    assert np.asarray(pair["rgb"])[1][drawn][:, 1:].max() == 0
    np.testing.assert_array_equal(pair["rgb"][0], same["rgb"])


def test_antialias_keeps_geom_and_mask_and_softens_colour(model, geoms, pictures):
    objects = [model.geom(name).id for name in ("ball", "brick")]
    render = jax.jit(make_renderer(model, CAMERAS, SIZE, objects=objects, antialias=True))
    smooth = render(geoms[0][0], geoms[1][0])
    np.testing.assert_array_equal(smooth["mask"], np.isin(smooth["geom"], objects))
    np.testing.assert_array_equal(smooth["geom"], pictures["geom"][0])
    sharp = pictures["rgb"][0].astype(int)
    difference = np.abs(np.asarray(smooth["rgb"]) - sharp).max(-1)
    inner = np.stack([away_from_edges(geom) for geom in pictures["geom"][0]])
    assert np.median(difference[inner]) <= 1
    assert np.mean(difference[~inner] > 5) > 0.2
    fine = jax.jit(make_renderer(model, ("above",), 8 * SIZE))(geoms[0][0], geoms[1][0])["rgb"]
    truth = np.asarray(fine).reshape(SIZE, 8, SIZE, 8, 3).mean((1, 3))
    above = CAMERAS.index("above")
    error, before = (np.std(rgb[above] - truth) for rgb in (np.asarray(smooth["rgb"]), sharp))
    assert error < 0.6 * before


@pytest.mark.parametrize("size", [7, 10])
def test_sizes_that_four_bands_do_not_divide(size):
    lone = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><camera name='eye' pos='0 0 2'/>"
        "<body><freejoint/><geom size='0.4'/></body></worldbody></mujoco>"
    )
    render = jax.jit(make_renderer(lone, ("eye",), size))
    geom = np.asarray(render(np.zeros((1, 3)), np.eye(3)[None])["geom"][0])
    assert geom.shape == (size, size)
    assert geom[size // 2, size // 2] == 0 and geom[0, 0] == -1
    np.testing.assert_array_equal(geom, geom.T)
    np.testing.assert_array_equal(geom, geom[::-1])


def test_bad_input(model, geoms, render):
    with pytest.raises(ValueError, match=r"no camera 'side'.*'front', 'above'"):
        make_renderer(model, ("side",), SIZE)
    with pytest.raises(ValueError, match="size of 2 or more"):
        make_renderer(model, CAMERAS, 0)
    with pytest.raises(ValueError, match=r"expected 16 positions .*found \(15, 3\)"):
        render(geoms[0][0][:-1], geoms[1][0])
    carried = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='1'/><body><joint/>"
        "<inertial mass='1' pos='0 0 0' diaginertia='1 1 1'/><camera name='eye'/></body></body>"
        "</worldbody></mujoco>"
    )
    with pytest.raises(ValueError, match="camera 'eye' is carried by a body without geoms"):
        make_renderer(carried, ("eye",), SIZE)
    tetrahedron = mujoco.MjModel.from_xml_string(
        "<mujoco><asset><mesh name='m' vertex='0 0 0 1 0 0 0 1 0 0 0 1'/></asset><worldbody>"
        "<camera name='eye'/><geom name='stone' type='mesh' mesh='m'/></worldbody></mujoco>"
    )
    with pytest.raises(ValueError, match="geom 'stone' .* is a mjGEOM_MESH"):
        make_renderer(tetrahedron, ("eye",), SIZE)
