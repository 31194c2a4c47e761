"""Videos: what each frame shows, and that the file is whole."""

import subprocess
import sys

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

from glam_jax.display import canvas
from glam_jax.evaluation import video
from glam_jax.evaluation.rollout import Rollout
from glam_jax.schema import fake_episode
from glam_jax.sim.env import make_env, simulation_options

# Reading back is imageio's, which forks to start ffmpeg; JAX warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")

SIZE, STEPS = 32, 24


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(video, "SIZE", SIZE)


@pytest.fixture(scope="module")
def env():
    return make_env("lifting", "kinova", 16)


@pytest.fixture(scope="module")
def result(env):
    """Two worlds in which nothing moves: one succeeded after 4 steps, one failed."""
    seeds = np.array([5, 6], np.uint32)
    start = jax.jit(
        jax.vmap(lambda seed: env.sight(env.reset(jax.random.key(seed)))),
        compiler_options=simulation_options(),
    )
    seen = start(seeds)
    still = jax.tree.map(lambda part: np.repeat(np.asarray(part)[:, None], STEPS, axis=1), seen)
    return Rollout(
        seeds=seeds,
        success=np.array([True, False]),
        steps=np.array([4, STEPS]),
        ee_position=np.zeros((2, STEPS, 3)),
        actions=np.zeros((2, STEPS, 8)),
        clipped=np.zeros(2),
        sight=still,
    )


def _near(pixel, colour):
    """H.264 does not keep colours exactly."""
    return np.abs(pixel.astype(int) - np.array(colour)).max() < 40


def test_rollout_video_marks_the_outcomes(tmp_path, env, result):
    path = video.rollout_video(tmp_path / "a" / "v.mp4", env, result)
    frames = imageio.imread(str(path))
    # 12 strides and the last step, and a second of 10 frames for the outcome.
    assert len(frames) == 13 + 10
    assert [p.name for p in path.parent.iterdir()] == ["v.mp4"]
    bottom, left, right = -2, SIZE, 4 * SIZE + 2
    assert _near(frames[0, bottom, left], canvas.GREY)
    assert _near(frames[3, bottom, left], canvas.GREEN)
    assert _near(frames[3, bottom, right], canvas.GREY)
    assert _near(frames[-1, bottom, left], canvas.GREEN)
    assert _near(frames[-1, bottom, right], canvas.RED)


def test_comparison_video_puts_source_above_replay(tmp_path, env, result):
    episodes = [fake_episode(env.layout, length, source="umi") for length in (7, 30)]
    for episode, level in zip(episodes, (0, 255), strict=True):
        for view in episode.views:
            episode.steps[f"image_{view}"][:] = level
    path = video.comparison_video(tmp_path / "c.mp4", env, episodes, result)
    frames = imageio.imread(str(path))
    assert len(frames) == 16 + 10
    middle = frames.shape[1] // 4 + 8
    assert frames[-1, middle, SIZE // 2].max() < 40
    assert frames[-1, middle, -SIZE // 2].min() > 215


def test_comparison_figure_puts_source_above_replay(tmp_path, env, result):
    episode = fake_episode(env.layout, 7, source="umi")
    for view in episode.views:
        episode.steps[f"image_{view}"][:] = 255
    path = video.comparison_figure(tmp_path / "c.png", env, episode, result)
    picture = imageio.imread(str(path))
    assert picture.shape[1] == video.TIMES * (3 * SIZE + 2) - 2
    above, below = picture[SIZE // 2 + 16], picture[-SIZE // 2]
    assert above[SIZE // 2].min() > 215 and above[-SIZE // 2].min() > 215
    assert below[SIZE // 2].max() < 215


def test_render_sight_does_not_depend_on_its_batches(env, result):
    images = video.render_sight(env, jax.tree.map(np.concatenate, result.sight))
    assert images.shape == (2 * STEPS, SIZE, 3 * SIZE, 3)
    assert (images[:STEPS] == images[0]).all() and (images[STEPS:] == images[-1]).all()
    assert (images[0] != images[-1]).any()


def test_write_mp4_pads_odd_sides(tmp_path):
    path = video.write_mp4(tmp_path / "odd.mp4", [np.zeros((33, 35, 3), np.uint8)] * 3, rate=10)
    assert imageio.imread(str(path)).shape == (13, 34, 36, 3)


def test_failed_encoding_says_why_and_leaves_nothing(tmp_path):
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(OSError, match="taken.mp4"):
        video.write_mp4(tmp_path / "taken.mp4", [np.zeros((8, 8, 3), np.uint8)], 10)
    with pytest.raises(OSError, match="ffmpeg ended with"):
        video.write_mp4(tmp_path / "x.mp4", [np.zeros((8, 8, 3), np.uint8)], -1)
    assert [p.name for p in tmp_path.iterdir()] == ["taken.mp4"]


@pytest.mark.slow
def test_only_films_need_ffmpeg():
    code = "import sys; sys.modules['imageio_ffmpeg'] = None; import glam_jax.experiment.experiment"
    subprocess.run([sys.executable, "-c", code], check=True)
