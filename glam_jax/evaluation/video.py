"""Videos of rollouts and replays, rendered anew from what they kept of each state."""

import contextlib
import functools
import itertools
import subprocess
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from glam_jax import files, schema
from glam_jax.display import canvas
from glam_jax.evaluation.rollout import Rollout
from glam_jax.sim.env import Env, Sight, make_env, simulation_options

# Worlds rendered in one call, and seconds that a world and then the video stand still at the end.
RENDER_BATCH = 16
LINGER, PAUSE = 0.5, 1.0
# Side of one view in pixels, control steps from one frame to the next, and times of a figure.
SIZE, STRIDE, TIMES = 160, 2, 5


def rollout_video(path: epath.PathLike, env: Env, result: Rollout) -> epath.Path:
    """Writes an MP4 of all filmed worlds in a grid, all views of each side by side, in real time.

    A world's bar counts control steps; bar and frame turn green at its success, red at the
    end of the horizon without one. The picture of a world stands still half a second after
    its success, and all of them at the end, so that a looping player shows the outcome.

    Args:
      path: where to write.
      env: the environment of the rollout; it is rendered at `SIZE`, not at its own size.
      result: a rollout or replay with `film` at least 1.
    """
    return _write_grid(path, env, [(world,) for world in _film(env, result)], columns=3)


def comparison_video(
    path: epath.PathLike, env: Env, episodes: Sequence[schema.Episode], result: Rollout
) -> epath.Path:
    """Writes an MP4 of source episodes above their replays, step by step.

    Episode i belongs to world i; each pair is one cell of the grid. Frames of the source are
    those that were recorded, enlarged to `SIZE`; the replay is marked as in `rollout_video`.
    """
    replays = _film(env, result)
    shown = [_source(episode) for episode in episodes[: len(replays)]]
    return _write_grid(path, env, list(zip(shown, replays, strict=True)), columns=2)


def _write_grid(path: epath.PathLike, env: Env, cells: list[tuple], columns: int) -> epath.Path:
    """Writes cells of films above each other, each of which holds its last frame."""
    length = max(len(film) for cell in cells for film in cell)
    frames = []
    for t in range(length):
        now = [np.concatenate([film[min(t, len(film) - 1)] for film in cell]) for cell in cells]
        frames.append(canvas.tile(np.stack(now), columns))
    return write_mp4(path, frames, rate=env.control_hz / STRIDE)


def comparison_figure(
    path: epath.PathLike, env: Env, episode: schema.Episode, result: Rollout
) -> epath.Path:
    """Writes a PNG of a source episode above its replay, at `TIMES` steps from first to last.

    The replay is the first filmed world of `result`; both rows show the same control steps.
    """
    last = result.sight.geom_xpos.shape[1] - 1
    at = np.linspace(0, len(episode) - 1, TIMES).round().astype(int)
    above = [_source_frame(episode, step) for step in at]
    states = jax.tree.map(lambda x: x[0, np.minimum(at, last)], result.sight)
    images, name = render_sight(env, states), schema.title(env.robot.name)
    below = [
        _mark(image, name, result, 0, min(step, last))
        for image, step in zip(images, at, strict=True)
    ]
    return canvas.save_png(path, canvas.tile(np.stack(above + below), TIMES))


def render_sight(env: Env, sight: Sight) -> np.ndarray:
    """All views of M states, side by side, (M, SIZE, V * SIZE, 3) uint8.

    Args:
      env: the environment whose states these are.
      sight: what their pictures follow from, arrays (M, ...).
    """
    render = _renderer(make_env(env.task.name, env.robot.name, SIZE, env.layout.views))
    count, images = len(sight.geom_xpos), []
    for start in range(0, count, RENDER_BATCH):
        rows = np.minimum(np.arange(start, start + RENDER_BATCH), count - 1)
        images.append(np.asarray(render(jax.tree.map(lambda x: x[rows], sight))))  # noqa: B023
    return np.concatenate(images)[:count]


def write_mp4(path: epath.PathLike, frames: Sequence[np.ndarray], rate: float) -> epath.Path:
    """Writes frames (H, W, 3) uint8 as an H.264 MP4.

    The last frame is held for a second. Sides are padded to the even numbers that the format
    asks for. Makes the folder; returns the path.

    Raises:
      OSError: if the encoder fails, with what it said.
    """
    held = [*frames, *[frames[-1]] * round(PAUSE * rate)]
    height, width = frames[0].shape[:2]
    even = ((0, height % 2), (0, width % 2), (0, 0))
    with files.beside(path) as new:
        _encode(new, (np.pad(frame, even) for frame in held), rate)
    return files.path(path)


def _encode(path: epath.Path, frames: Iterable[np.ndarray], rate: float) -> None:
    """Pipes frames of one even size through ffmpeg into an MP4 that plays while it loads.

    ffmpeg is started here and not by imageio, whose writer forks: unsafe beside JAX's threads.
    """
    frames = iter(frames)
    first = next(frames)
    size = f"{first.shape[1]}x{first.shape[0]}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(rate), "-i", "-"]
    target = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    import imageio_ffmpeg  # a large program, which training without films does without

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *source, *target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as ffmpeg:
        # A broken pipe means that ffmpeg has ended early; its own words say why.
        with contextlib.suppress(BrokenPipeError):
            for frame in itertools.chain([first], frames):
                ffmpeg.stdin.write(np.ascontiguousarray(frame))
        _, said = ffmpeg.communicate()
    if ffmpeg.returncode:
        reason = said.decode(errors="replace").strip()
        raise OSError(f"{path}: ffmpeg ended with {ffmpeg.returncode}: {reason}")


def _film(env: Env, result: Rollout) -> list[list[np.ndarray]]:
    """Marked frames of each filmed world, up to shortly after its success."""
    filmed, horizon = result.sight.geom_xpos.shape[:2]
    linger, times = round(LINGER * env.control_hz), []
    for steps in result.steps[:filmed]:
        last = min(steps + linger, horizon - 1)
        times.append(np.append(np.arange(0, last, STRIDE), last))
    world = np.repeat(np.arange(filmed), [len(t) for t in times])
    at = np.concatenate(times)
    images = render_sight(env, jax.tree.map(lambda x: x[world, at], result.sight))
    name, frames = schema.title(env.robot.name), [[] for _ in range(filmed)]
    for index, step, image in zip(world, at, images, strict=True):
        frames[index].append(_mark(image, name, result, index, step))
    return frames


def _mark(image: np.ndarray, name: str, result: Rollout, world: int, step: int) -> np.ndarray:
    """A robot's image with its step counter, and its outcome once that is known."""
    text, colour = f"{name} seed {result.seeds[world]}  step {step}", canvas.GREY
    last = result.sight.geom_xpos.shape[1] - 1
    if result.success[world] and step >= min(result.steps[world], last):
        text, colour = f"{text}  success", canvas.GREEN
    elif not result.success[world] and step == last:
        text, colour = f"{text}  failed", canvas.RED
    return canvas.caption(canvas.outline(image, colour), text, colour)


def _source(episode: schema.Episode) -> list[np.ndarray]:
    """Frames of a recorded episode, all views side by side."""
    last = len(episode) - 1
    return [_source_frame(episode, t) for t in np.append(np.arange(0, last, STRIDE), last)]


def _source_frame(episode: schema.Episode, step: int) -> np.ndarray:
    """One step of a recorded episode with its caption, all views side by side."""
    views = [episode.steps[f"image_{view}"][step] for view in episode.views]
    image = np.hstack([canvas.enlarge(view, SIZE) for view in views])
    text = f"{schema.title(episode.source)} seed {episode.seed}  step {step}"
    return canvas.caption(canvas.outline(image, canvas.GREY), text)


@functools.lru_cache(maxsize=4)
def _renderer(env: Env):
    """The jitted renderer: `Sight` of a batch of states -> (B, H, V * W, 3)."""

    def render(sight):
        images = env.render(sight)
        return jnp.concatenate([images[f"image_{view}"] for view in env.layout.views], axis=1)

    return jax.jit(jax.vmap(render), compiler_options=simulation_options())
