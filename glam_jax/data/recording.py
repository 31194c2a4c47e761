"""What one dataset holds, and the check that an episode is what it should be."""

import dataclasses
import json
import re
from collections.abc import Sequence

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.schema import EE_DIM, SCHEMA_VERSION, TARGET_ONLY, Episode, Layout


@dataclasses.dataclass(frozen=True)
class Recording:
    """What one dataset holds: a task, a source and the layout of their arrays.

    `about` is more that is stored with the dataset: plain values, as JSON would give them back.
    `cameras` names where the cameras stood; "" in simulation, whose version says it.
    """

    task: str
    source: str
    layout: Layout
    about: dict = dataclasses.field(default_factory=dict, compare=False)
    cameras: str = ""

    @property
    def name(self) -> str:
        """Name of the dataset and of its folder."""
        return f"{self.task}_{self.source}_{self.layout.image_size}px"

    @property
    def metadata(self) -> dict:
        """What is stored once per dataset, and compared first when it is read."""
        cameras = {"cameras": self.cameras} if self.cameras else {}
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "source": self.source,
            "image_size": self.layout.image_size,
            "arms": self.layout.arms,
        } | (cameras | self.about)


def with_cameras(found: dict) -> dict:
    """Stored metadata with `cameras`, which earlier conversions said in their key map alone."""
    known = found.get("made_from", {}).get("cameras")
    return {"cameras": known, **found} if known else found


def describe(directory: epath.PathLike) -> Recording:
    """What a folder says that it holds.

    Raises:
      DataError: it holds no dataset of this project.
    """
    directory = files.path(directory)
    try:
        found = with_cameras(files.read_json(directory / "metadata.json"))
        names = json.dumps(files.read_json(directory / "features.json"))
        layout = Layout(
            found["arms"],
            found["image_size"],
            has_actions='"action":' in names,
            views=tuple(re.findall(r'"image_(\w+)":', names)),
            **{key: found[key] for key in ("arm_proprio", "arm_action") if key in found},
        )
        cameras = found.pop("cameras", "")
        about = {k: v for k, v in found.items() if k not in Recording("", "", layout).metadata}
        return Recording(found["task"], found["source"], layout, about, cameras)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{directory}: no dataset of this project ({type(error).__name__}: {error}); a foreign "
            "one is converted first, see glam_jax.own_data"
        ) from error


def check_episode(episode: Episode, recording: Recording, place: str) -> None:
    """Raises DataError where an episode is not what the recording says.

    Args:
      episode: the episode to check.
      recording: expected task, source and layout.
      place: where the episode comes from, for the message.
    """
    for field in ("task", "source"):
        found, expected = getattr(episode, field), getattr(recording, field)
        if found != expected:
            raise DataError(f"{place}: {field} is {found!r}, expected {expected!r}")
    expected_arrays = recording.layout.step_arrays()
    check_names(set(episode.steps), set(expected_arrays), place)
    length = len(episode)
    if length < 2:
        raise DataError(f"{place}: {length} step(s), expected at least 2 (one transition)")
    for name, (shape, dtype) in expected_arrays.items():
        array = episode.steps[name]
        if array.shape != (length, *shape) or array.dtype != dtype:
            raise DataError(
                f"{place}, key {name!r}: found {array.dtype} {array.shape}, "
                f"expected {dtype} {(length, *shape)}"
            )
        _check_values(name, array, place)


def check_together(episodes: Sequence[Episode]) -> None:
    """Raises DataError where an episode does not go with the first.

    Sources can be learned from together only if they do the same task with as many hands, before
    the same cameras, which stand in the same places, in the same version of the simulator if any.
    """
    first = _kind(episodes[0])
    for episode in episodes:
        for key, found in _kind(episode).items():
            if found != first[key]:
                raise DataError(
                    f"source {episode.source}, episode of seed {episode.seed}: {key} is {found!r}, "
                    f"expected {first[key]!r} as in source {episodes[0].source}"
                )


def _kind(episode: Episode) -> dict:
    return {
        "task": episode.task,
        "number of arms": episode.steps["ee_pose"].shape[-1] // EE_DIM,
        "views": episode.views,
        "simulator_version": episode.simulator_version,
        "cameras": episode.cameras,
    }


def check_names(found: set[str], expected: set[str], place: str) -> None:
    """Raises DataError when the array names found are not those expected."""
    if missing := sorted(expected - found):
        hint = "; a target source must have them" if set(missing) & set(TARGET_ONLY) else ""
        raise DataError(f"{place}: keys {missing} are missing, found {sorted(found)}{hint}")
    if extra := sorted(found - expected):
        hint = "; an auxiliary source must not have them" if set(extra) & set(TARGET_ONLY) else ""
        raise DataError(f"{place}: unexpected keys {extra}, expected {sorted(expected)}{hint}")


def _check_values(name: str, array: np.ndarray, place: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        step, *rest = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
        value = array[(step, *rest)]
        raise DataError(
            f"{place}, step {step}, key {name!r}: found {value} at {rest}, expected finite values"
        )
    if name.startswith("mask") and array.max() > 1:
        step = int(np.argwhere(array > 1)[0][0])
        raise DataError(
            f"{place}, step {step}, key {name!r}: found {int(array[step].max())}, expected 0 or 1"
        )
