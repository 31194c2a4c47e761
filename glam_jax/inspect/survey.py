"""A walk through every episode of a dataset: what it holds, and what is wrong with it."""

import dataclasses
from dataclasses import field

import numpy as np
from etils import epath

from glam_jax.data import dataset
from glam_jax.data.recording import Recording, describe
from glam_jax.errors import DataError
from glam_jax.inspect import checks
from glam_jax.schema import EE_DIM, SIMULATED, Episode, title

VECTORS = ("ee_pose", "proprio", "action")
# Mean distance between what actions ask for and what follows, in units of how far the state
# moves in a step, from which the two have little to do with each other. A controller that lags
# a few steps behind its targets stays below; no differences at all would be at 1.
_DISAGREE, _DELTAS_DISAGREE = 10.0, 1.2
# Mean difference of two sources' average images, of 255, from which the cameras may have moved.
_CAMERAS_DIFFER = 60.0
_SHOWN = 3
_CONSTANT = 1e-6


@dataclasses.dataclass
class Survey:
    """What was found in one dataset.

    Attributes:
      folder, recording: which one. rate_hz: steps per second, None if it is not stated.
      lengths: split -> steps of each episode. failures: number of unsuccessful episodes.
      vectors: name -> values of all steps (N, D).
      paths: end-effector positions (T, 3) of every arm of every episode.
      shown: the first episodes. cameras: what they are said to be, of every episode.
      mean_images: view -> mean image (H, W, 3). misses: action against motion, see `checks`;
      its two means, or None. errors, warnings: with episode and step.
    """

    folder: epath.Path
    recording: Recording
    rate_hz: float | None
    failures: int = 0
    misses: tuple[float, float] | None = None
    lengths: dict[str, list[int]] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    paths: list[np.ndarray] = field(default_factory=list)
    shown: list[Episode] = field(default_factory=list)
    cameras: set[str] = field(default_factory=set)
    mean_images: dict[str, np.ndarray] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What to call the source where people read it."""
        return title(self.recording.source)

    @property
    def dimensions(self) -> list[tuple[str, np.ndarray]]:
        """(name, values (N,)) of every number of a step."""
        return [
            (f"{name}[{i}] {_label(name, i)}".strip(), column)
            for name, values in self.vectors.items()
            for i, column in enumerate(values.T)
        ]


def _label(name: str, index: int) -> str:
    if name != "ee_pose":
        return ""
    part = ("x", "y", "z", *(f"r{a}{b}" for a in "12" for b in "xyz"), "opening")
    return part[index % EE_DIM]


def survey(folder: epath.Path) -> Survey:
    """Reads every episode of a dataset.

    Raises:
      DataError: the folder is no dataset, or its own description is damaged.
    """
    recording = describe(folder)
    kind = recording.about.get("action_kind", "joint_positions")
    made = Survey(folder, recording, rate_of(recording))
    rows, misses, sums = {name: [] for name in VECTORS}, [], {}
    for split, number in dataset.count(folder, recording).items():
        made.lengths[split] = []
        for index, episode in enumerate(dataset.each(folder, split, recording, range(number))):
            if isinstance(episode, DataError):
                made.errors.append(str(episode))
                continue
            _note(made, episode, f"{folder}, {split} episode {index}")
            made.lengths[split].append(len(episode))
            for name in set(VECTORS) & set(episode.steps):
                rows[name].append(episode.steps[name])
            for view in episode.views:
                mean = episode.steps[f"image_{view}"].mean(axis=0)
                sums[view] = sums.get(view, 0) + mean
            if "action" in episode.steps:
                misses.append(checks.disagreement(episode, kind))
    made.vectors = {name: np.concatenate(found) for name, found in rows.items() if found}
    count = sum(map(len, made.lengths.values()))
    made.mean_images = {view: total / count for view, total in sums.items()}
    if pairs := [pair for pair in misses if pair]:
        made.misses = tuple(float(np.concatenate(part).mean()) for part in zip(*pairs, strict=True))
    _judge(made)
    return made


def rate_of(recording: Recording) -> float | None:
    """Steps per second of a dataset, None if it is not stated."""
    if recording.source in SIMULATED:
        from glam_jax.sim.scenes import CONTROL_HZ

        return float(CONTROL_HZ)
    return recording.about.get("rate_hz")


def _note(made: Survey, episode: Episode, place: str) -> None:
    """Adds what one episode shows by itself."""
    made.errors += [f"{place}, {text}" for text in checks.errors(episode)]
    made.warnings += [f"{place}, {text}" for text in checks.warnings(episode, made.rate_hz)]
    made.failures += not episode.success
    made.cameras.add(episode.cameras)
    made.paths += [pose[:, :3] for pose in checks.arms(episode)]
    if len(made.shown) < _SHOWN:
        made.shown.append(episode)


def _judge(made: Survey) -> None:
    """Adds what only all episodes together show."""
    if not made.vectors:
        made.errors.append(f"{made.folder}: no readable episodes")
        return
    for name, column in made.dimensions:
        if np.ptp(column) < _CONSTANT:
            made.warnings.append(f"{made.folder}: {name} is always {column[0]:.4g}")
    for view, image in made.mean_images.items():
        if not image.any():
            made.warnings.append(f"{made.folder}: the {view} image is always black")
    delta = made.recording.about.get("action_kind") == "pose_delta"
    limit = _DELTAS_DISAGREE if delta else _DISAGREE
    if made.misses and made.misses[0] > limit * max(made.misses[1], _CONSTANT):
        made.warnings.append(
            f"{made.folder}: actions and motion disagree: they are {made.misses[0]:.3g} apart, "
            f"while a step is {made.misses[1]:.3g}; see action_kind, scale and alignment"
        )


def compare(surveys: list[Survey]) -> tuple[list[str], list[str]]:
    """(errors, warnings) of datasets that can be learned from together: those of one task."""
    errors, warnings, firsts = [], [], {}
    for other in surveys:
        task = (other.recording.task, other.recording.layout.image_size)
        first = firsts.setdefault(task, other)
        pair = f"{first.name} and {other.name}"
        for what, a, b in (
            ("cameras", sorted(first.cameras), sorted(other.cameras)),
            ("number of arms", first.recording.layout.arms, other.recording.layout.arms),
            ("rate", first.rate_hz, other.rate_hz),
        ):
            if a != b:
                errors.append(f"{pair}: {what} differ, {a} and {b}")
        for view, difference in image_differences(first, other).items():
            if difference > _CAMERAS_DIFFER:
                warnings.append(
                    f"{pair}: mean {view} images are {difference:.0f} of 255 apart; "
                    "do the cameras stand in the same places?"
                )
    return errors, warnings


def image_differences(one: Survey, other: Survey) -> dict[str, float]:
    """View -> mean absolute difference of the mean images, of 255; where they can be compared."""
    return {
        view: float(np.abs(image - other.mean_images[view]).mean())
        for view, image in one.mean_images.items()
        if view in other.mean_images and other.mean_images[view].shape == image.shape
    }
