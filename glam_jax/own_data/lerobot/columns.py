"""The columns of a LeRobot dataset that is written from the project's episodes."""

import dataclasses

import numpy as np

from glam_jax.own_data.video import CODEC, PIXELS
from glam_jax.schema import EE_DIM, Episode, Layout

STATE, POSE, ACTION = "observation.state", "observation.ee_pose", "action"
DONE, SUCCESS = "next.done", "next.success"
_POSE_NAMES = ("x", "y", "z", *(f"r{column}{axis}" for column in "12" for axis in "xyz"), "opening")
# Columns that every dataset has, beside its own: name -> type.
_COUNTERS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def view_column(view: str) -> str:
    """The column of a view's images."""
    return f"observation.images.{view}"


def mask_column(view: str) -> str:
    """The column of a view's masks: white on the manipulated objects."""
    return f"observation.images.mask_{view}"


@dataclasses.dataclass(frozen=True)
class Columns:
    """What is written of each step.

    Attributes:
      layout: of the episodes. fps: steps a second.
      masks: views whose masks are written.
      video: images as video instead of PNG. Masks are PNG always, since videos blur.
    """

    layout: Layout
    fps: int
    masks: tuple[str, ...]
    video: bool

    @property
    def videos(self) -> tuple[str, ...]:
        """Columns that lie in video files."""
        return tuple(view_column(view) for view in self.layout.views) if self.video else ()

    def features(self) -> dict[str, dict]:
        """Column -> `dtype`, `shape` and `names`, as `meta/info.json` has them."""
        pose = [f"{n}_{arm}" for arm in range(self.layout.arms) for n in _POSE_NAMES]
        made = {POSE: _feature("float32", len(pose), pose)}
        if self.layout.has_actions:
            for name, width in ((STATE, self.layout.proprio_dim), (ACTION, self.layout.action_dim)):
                numbered = [f"{name.split('.')[-1]}_{i}" for i in range(width)]
                made[name] = _feature("float32", width, numbered)
        for view in self.layout.views:
            made[view_column(view)] = self._picture(self.video)
        for view in self.masks:
            made[mask_column(view)] = self._picture(False)
        made |= {DONE: _feature("bool", 1), SUCCESS: _feature("bool", 1)}
        return made | {name: _feature(kind, 1) for name, kind in _COUNTERS.items()}

    def _picture(self, video: bool) -> dict:
        side = self.layout.image_size
        names = ["height", "width", "channels"]
        made = {"dtype": "video" if video else "image", "shape": [side, side, 3], "names": names}
        if video:
            made["info"] = {
                "video.height": side,
                "video.width": side,
                "video.codec": CODEC,
                "video.pix_fmt": PIXELS,
                "video.is_depth_map": False,
                "video.fps": self.fps,
                "video.channels": 3,
                "has_audio": False,
            }
        return made

    def values(self, episode: Episode, index: int, first: int, task: int) -> dict[str, np.ndarray]:
        """All columns of an episode: numbers (T, n) or (T,), pictures (T, H, W, 3) uint8.

        Args:
          episode: with the arrays of the layout. index: its number. first: steps before it.
          task: the number of its instruction.
        """
        steps, length = episode.steps, len(episode)
        found = {POSE: steps["ee_pose"]}
        if self.layout.has_actions:
            found |= {STATE: steps["proprio"], ACTION: steps["action"]}
        found = {name: v[:, 0] if v.shape[1] == 1 else v for name, v in found.items()}
        found |= {view_column(view): steps[f"image_{view}"] for view in self.layout.views}
        for view in self.masks:
            found[mask_column(view)] = np.repeat(255 * steps[f"mask_{view}"], 3, axis=-1)
        frames = np.arange(length)
        last = frames == length - 1
        return found | {
            DONE: last,
            SUCCESS: last & episode.success,
            "timestamp": (frames / self.fps).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(length, index),
            "index": first + frames,
            "task_index": np.full(length, task),
        }

    def key_map(self, cameras: str, heldout: bool) -> dict:
        """The key map, without `path`, by which the written dataset comes in again.

        Args:
          cameras: where they stood. heldout: whether there is a split of that name.
        """
        arms = [EE_DIM * arm for arm in range(self.layout.arms)]
        state, action = ((STATE,), (ACTION,)) if self.layout.has_actions else ((), ())
        return {
            "rate_hz": float(self.fps),
            "views": {v: view_column(v) for v in self.layout.views},
            "masks": {v: mask_column(v) if v in self.masks else "" for v in self.layout.views},
            "position": [f"{POSE}[{i}:{i + 3}]" for i in arms],
            "rotation": [f"{POSE}[{i + 3}:{i + 9}]" for i in arms],
            "rotation_form": "6d",
            "gripper": [f"{POSE}[{i + 9}]" for i in arms],
            "proprio": state,
            "action": action,
            "success": SUCCESS,
            "include_failed": True,
            "text": "tasks",
            "cameras": cameras,
            "heldout_split": "heldout" if heldout else "",
        }


def _feature(kind: str, width: int, names: list[str] | None = None) -> dict:
    return {"dtype": kind, "shape": [width], "names": names}
