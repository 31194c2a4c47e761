"""The step, the episode and the batch: one vocabulary of arrays for every part.

Simulation, data, models and runtime import nothing of each other; they meet as the
arrays named here. Data on disk follows the same names (see `data.dataset`).

Shape letters used across the project:

  B batch   T time   K chunk   Z latent   Y visual feature   E end-effector pose
  S state (proprioception)   A action   V view   H W C image

Units: metres, radians, seconds. Images are uint8; masks are uint8 with 1 on the
manipulated objects. The gripper opening and the gripper command are both in [0, 1],
0 closed and 1 fully open (85 mm between the pads).
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

SCHEMA_VERSION = "1.0.0"

# The cameras that stand still in simulation. Other data have others, see `Layout.views`.
VIEWS = ("front", "overhead")

# Per arm: position (3), first two columns of the rotation matrix (6), opening (1).
EE_DIM = 10
ROTATION = range(3, 9)
# Per arm: seven joint angles (rad) and the gripper opening.
PROPRIO_DIM = 8
# Per arm: seven joint targets (rad) and the gripper command.
ACTION_DIM = 8

# What images hold -> their channels in each view.
MODALITIES = {"rgb": 3, "mask": 1}

# Keys that only a target source has; an auxiliary dataset does not contain them.
TARGET_ONLY = ("action", "proprio")

# What an action is, for checks and errors in physical units.
ACTION_KINDS = ("joint_positions", "pose", "pose_delta", "other")

# Split -> source -> first seed: no two sources demonstrate the same scenes. The seeds of
# evaluation start at 1,000,000.
FIRST_SEED = {
    "train": {"kinova": 0, "umi": 100_000, "kinova_real": 200_000},
    "heldout": {"kinova": 900_000, "kinova_real": 925_000, "umi": 950_000},
}
# The sources that are simulated here.
SIMULATED = tuple(FIRST_SEED["train"])

# Sources whose bare name would mislead -> how they are called wherever a person reads it.
_TITLES = {"kinova_real": "kinova_real (simulated stand-in)"}


def title(source: str) -> str:
    """What to call a source or robot in captions, tables and reports."""
    return _TITLES.get(source, source)


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the arrays of one source look like.

    Attributes:
      arms: number of arms, 1 or 2.
      image_size: side of the square images in pixels.
      has_actions: True for a target source (`action` and `proprio` are present).
      arm_proprio, arm_action: numbers an arm of `proprio` and `action`; a robot other than the
        simulated one may have its own.
      views: names of the cameras, by name in alphabetical order, in which images are stacked.
    """

    arms: int
    image_size: int
    has_actions: bool
    arm_proprio: int = PROPRIO_DIM
    arm_action: int = ACTION_DIM
    views: tuple[str, ...] = VIEWS

    def __post_init__(self):
        object.__setattr__(self, "views", tuple(sorted(self.views)))

    @property
    def ee_dim(self) -> int:
        return EE_DIM * self.arms

    @property
    def proprio_dim(self) -> int:
        return self.arm_proprio * self.arms

    @property
    def action_dim(self) -> int:
        return self.arm_action * self.arms

    def seen_from(self, views: Iterable[str]) -> "Layout":
        """The same with some of its views."""
        return dataclasses.replace(self, views=tuple(views))

    def image_shape(self, modality: str) -> tuple[int, int, int, int]:
        """(V, H, W, C): all views of one step, of "rgb" or "mask"."""
        return (len(self.views), self.image_size, self.image_size, MODALITIES[modality])

    def step_arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Name -> (shape of one step, dtype), in the order in which they are stored."""
        side = self.image_size
        arrays = {}
        for view in self.views:
            arrays[f"image_{view}"] = ((side, side, 3), np.dtype(np.uint8))
        for view in self.views:
            arrays[f"mask_{view}"] = ((side, side, 1), np.dtype(np.uint8))
        arrays["ee_pose"] = ((self.ee_dim,), np.dtype(np.float32))
        if self.has_actions:
            arrays["proprio"] = ((self.proprio_dim,), np.dtype(np.float32))
            arrays["action"] = ((self.action_dim,), np.dtype(np.float32))
        return arrays


@dataclasses.dataclass
class Episode:
    """One demonstration: `steps[name]` has shape (T, ...) as in `Layout.step_arrays`.

    Timing: `action[t]` is the command held from observation t to observation t + 1, so an
    episode of T steps has T - 1 transitions and its last action belongs to none of them.

    `cameras` names where the cameras stood; in simulation that follows from its version.
    `instruction` is what was asked for in words; it is stored, and nothing is conditioned on it.
    """

    steps: dict[str, np.ndarray]
    task: str
    source: str
    seed: int
    success: bool
    simulator_version: str
    cameras: str = ""
    instruction: str = ""

    def __post_init__(self):
        self.cameras = self.cameras or self.simulator_version
        self.instruction = self.instruction or self.task.replace("_", " ")

    def __len__(self) -> int:
        return len(self.steps["ee_pose"])

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the cameras, as `Layout.views`."""
        return views_of(self.steps)

    def seen_from(self, views: Iterable[str]) -> "Episode":
        """The same with some of its views."""
        dropped = set(self.views) - set(views)
        gone = {f"{kind}_{view}" for kind in ("image", "mask") for view in dropped}
        steps = {name: array for name, array in self.steps.items() if name not in gone}
        return dataclasses.replace(self, steps=steps)


def views_of(names: Iterable[str]) -> tuple[str, ...]:
    """The views that have an image among the names of arrays, as `Layout.views`."""
    return tuple(sorted(n.removeprefix("image_") for n in names if n.startswith("image_")))


def fake_episode(
    layout: Layout, length: int, seed: int = 0, task: str = "lifting", source: str = "kinova"
) -> Episode:
    """A random episode of the right shapes, for tests of parts that need no physics."""
    rng = np.random.default_rng(seed)
    steps = {}
    for name, (shape, dtype) in layout.step_arrays().items():
        if name.startswith("image"):
            steps[name] = rng.integers(0, 256, (length, *shape), dtype)
        elif name.startswith("mask"):
            steps[name] = rng.integers(0, 2, (length, *shape), dtype)
        else:
            walk = rng.normal(size=(length, *shape)).cumsum(axis=0) * 0.05
            steps[name] = walk.astype(dtype)
    return Episode(steps, task, source, seed, True, "none")


def window_batch_shapes(
    layout: Layout, batch: int, time: int, modality: str
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Stage 1 batch: windows of T consecutive frames, name -> (shape, dtype).

    `image` holds what `modality` says, "rgb" (C = 3) or "mask" (C = 1), of each view. `proprio`
    and `action` are zeros on auxiliary rows, where `is_target` is 0. All transitions of a
    window are real: a window never crosses the end of its episode. `row` numbers the rows,
    so that a piece of a batch knows which piece it is.
    """
    f32 = np.dtype(np.float32)
    return {
        "image": ((batch, time, *layout.image_shape(modality)), np.dtype(np.uint8)),
        "ee_pose": ((batch, time, layout.ee_dim), f32),
        "proprio": ((batch, time, layout.proprio_dim), f32),
        "action": ((batch, time, layout.action_dim), f32),
        "is_target": ((batch,), f32),
        "row": ((batch,), np.dtype(np.int32)),
    }


def chunk_batch_shapes(
    layout: Layout, batch: int, chunk: int, label_dim: int
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Stage 2 batch: one observation and the K transitions that follow it.

    `label` is what the policy predicts of a transition: its latent, or MIP's robot action. `label`
    and `action` are padded at the episode's end by repeating the last transition; `valid` is 1 on
    real transitions and 0 on padded ones. `row` numbers the rows.
    """
    f32 = np.dtype(np.float32)
    return {
        "image": ((batch, *layout.image_shape("rgb")), np.dtype(np.uint8)),
        "ee_pose": ((batch, layout.ee_dim), f32),
        "proprio": ((batch, layout.proprio_dim), f32),
        "label": ((batch, chunk, label_dim), f32),
        "action": ((batch, chunk, layout.action_dim), f32),
        "valid": ((batch, chunk), f32),
        "is_target": ((batch,), f32),
        "row": ((batch,), np.dtype(np.int32)),
    }


def fake_batch(shapes: dict[str, tuple[tuple[int, ...], np.dtype]], seed: int = 0) -> dict:
    """A random batch of the given shapes; `is_target` alternates and `valid` is a prefix."""
    rng = np.random.default_rng(seed)
    batch = {}
    for name, (shape, dtype) in shapes.items():
        if name == "row":
            batch[name] = np.arange(shape[0], dtype=dtype)
        elif name == "image":
            batch[name] = rng.integers(0, 256, shape, dtype)
        elif name == "is_target":
            batch[name] = (np.arange(shape[0]) % 2 == 0).astype(dtype)
        elif name == "valid":
            real = rng.integers(1, shape[1] + 1, shape[0])
            batch[name] = (np.arange(shape[1]) < real[:, None]).astype(dtype)
        else:
            batch[name] = rng.normal(size=shape).astype(dtype)
    for name in set(batch) & set(TARGET_ONLY):
        mask = batch["is_target"].reshape(-1, *[1] * (batch[name].ndim - 1))
        batch[name] = batch[name] * mask
    return batch
