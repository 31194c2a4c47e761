"""The key map: where in a foreign dataset each of the schema's arrays is, and in what form."""

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from etils import epath

from glam_jax.errors import DataError
from glam_jax.own_data import colours, rotations
from glam_jax.own_data.colours import Colour

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


@dataclasses.dataclass(frozen=True)
class Selector:
    """A stored array and which of its numbers: `observation/state[0:3]`, `action`, `a/b[7]`."""

    path: str
    start: int | None = None
    stop: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Raises ValueError for text of another shape."""
        match = re.fullmatch(r"([^\[\]\s]+)(?:\[(\d+)(?::(\d+))?\])?", text)
        if not match:
            raise ValueError(f"{text!r}: expected a key, key[i] or key[from:to]")
        path, start, stop = match.groups()
        if start is None:
            return cls(path)
        return cls(path, int(start), int(stop) if stop else int(start) + 1)

    def pick(self, values: np.ndarray) -> np.ndarray:
        """The wanted numbers (T, n) of each step's, flattened; `values` (T, ...) if it is all.

        Raises:
          DataError: there are not as many.
        """
        if self.start is None:
            return values
        flat = values.reshape(len(values), -1)
        if self.stop > flat.shape[1]:
            raise DataError(
                f"key {self.path!r} has {flat.shape[1]} numbers a step, "
                f"asked for [{self.start}:{self.stop}]"
            )
        return flat[:, self.start : self.stop]


@contextlib.contextmanager
def naming(key: str) -> Iterator[None]:
    """Puts a key before the message of a ValueError raised inside."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"key {key!r}: {error}") from error


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """How one source of own data is stored; every field is a key of the config.

    Keys are paths inside a step, `observation/image`, or columns of a LeRobot dataset,
    `observation.images.top`; `[i]` or `[from:to]` picks numbers.

    Attributes:
      path: folder with `dataset_info.json` and `features.json`, or one folder above it; or the
        folder of a LeRobot dataset, with `meta/info.json`.
      split: whose episodes are trained on. heldout_split: whose are never trained on; "" takes
        them from the end of `split`.
      views: view -> key of its images, of as many views as there are, alike in all sources; "" is
        a camera that was not there, stored as black.
      masks: view -> key of its masks, any number above 0 on the objects. mask_colours: view ->
        object -> its colour, see `tracking.track`. mask_folder: view -> folder of PNG masks, see
        `frame_files`. Of each view at most one of the three; with none zeros are stored.
      mask_hold_s: for how long, s, an object that is not seen keeps its mask by colour.
      position, rotation, gripper: end-effector pose; with two arms one key for each.
      rotation_form: see `rotations.FORMS`. position_unit, angle_unit: of the pose.
      gripper_closed, gripper_open: the stored values at opening 0 and 1.
      base_position (m), base_rotation (quaternion xyzw): the pose's frame in the workspace.
      tool_offset (m): the point between the fingers, seen from the stored pose.
      proprio, action: keys whose numbers are joined, arm by arm; "" for an auxiliary source.
      proprio_scale, proprio_offset, action_scale, action_offset: used is stored * scale + offset;
        one for all numbers or one for each.
      alignment: "sar", or "ars" where a step stores the action that led to it.
      rate_hz: steps per second as recorded.
      fit: how images that are not square become so: crop, pad or stretch.
      success: key of the episode's success, "" where all succeeded.
      cameras: a name of where the cameras stood; sources that are trained together share it.
      weight: how often its rows are drawn, relative to other sources of its kind.
    """

    path: str
    rate_hz: float
    views: Mapping[str, str]
    position: tuple[str, ...]
    rotation: tuple[str, ...]
    gripper: tuple[str, ...]
    rotation_form: str
    split: str = "train"
    heldout_split: str = ""
    masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mask_colours: Mapping[str, Mapping[str, Colour]] = dataclasses.field(default_factory=dict)
    mask_folder: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mask_hold_s: float = 1.0
    position_unit: str = "m"
    angle_unit: str = "rad"
    gripper_closed: float = 0.0
    gripper_open: float = 1.0
    base_position: tuple[float, ...] = (0.0, 0.0, 0.0)
    base_rotation: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)
    tool_offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    proprio: tuple[str, ...] = ()
    proprio_scale: tuple[float, ...] = (1.0,)
    proprio_offset: tuple[float, ...] = (0.0,)
    action: tuple[str, ...] = ()
    action_scale: tuple[float, ...] = (1.0,)
    action_offset: tuple[float, ...] = (0.0,)
    alignment: str = "sar"
    fit: str = "crop"
    success: str = ""
    cameras: str = "cameras"
    weight: float = 1.0

    @property
    def has_actions(self) -> bool:
        """True for a target source."""
        return bool(self.action)

    @property
    def has_masks(self) -> bool:
        """True if the masks of a view are had in any way."""
        return any(any(getattr(self, way).values()) for way in MASK_WAYS)

    def selectors(self) -> dict[str, list[Selector]]:
        """What is read of each step: role -> selectors, in order."""
        roles = {f"image_{view}": (key,) for view, key in self.views.items()}
        roles |= {f"mask_{view}": (key,) for view, key in self.masks.items()}
        names = ("position", "rotation", "gripper", "proprio", "action")
        roles |= {name: getattr(self, name) for name in names}
        found = {role: [Selector.parse(t) for t in texts if t] for role, texts in roles.items()}
        return {role: selectors for role, selectors in found.items() if selectors}

    def stored_form(self) -> dict:
        """All that the converted episodes depend on, as plain values, to recognise a change."""
        plain = dataclasses.asdict(self)
        del plain["weight"]
        if not any(self.mask_colours.values()):
            del plain["mask_colours"], plain["mask_hold_s"]
        if not any(self.mask_folder.values()):
            del plain["mask_folder"]
        return plain

    def check_found(
        self,
        folder: epath.Path,
        lengths: Mapping[str, int],
        steps: Collection[str],
        episode: Collection[str],
        noun: str = "key",
    ) -> None:
        """Checks that a foreign dataset has the splits and keys.

        Args:
          folder: the dataset's, for messages. lengths: split -> number of episodes.
          steps: keys that it has in a step. episode: those where `success` may be.
          noun: what its keys are called.

        Raises:
          DataError: it does not; names what is missing, and what is there.
        """
        for split in filter(None, (self.split, self.heldout_split)):
            if not lengths.get(split):
                raise DataError(f"{folder}: no episodes in split {split!r}, found {dict(lengths)}")
        wanted = [(s.path, role, steps) for role, ss in self.selectors().items() for s in ss]
        if self.success:
            wanted.append((self.success, "success", episode))
        for path, role, known in wanted:
            if path not in known:
                raise DataError(
                    f"{folder}: no {noun} {path!r} (for {role}), found {', '.join(sorted(known))}"
                )


# How the masks of a view are had -> what says that they are not.
MASK_WAYS = {"masks": "", "mask_colours": {}, "mask_folder": ""}
_SEVERAL = ("position", "rotation", "gripper", "proprio", "action")
_NUMBERS = ("proprio_scale", "proprio_offset", "action_scale", "action_offset")
_CHOICES = {
    "position_unit": tuple(METRES),
    "angle_unit": ("rad", "deg"),
    "fit": ("crop", "pad", "stretch"),
    # RLDS's names: state, action, reward; or the action that led to the state of its step.
    "alignment": ("sar", "ars"),
}
_LENGTHS = {"base_position": 3, "base_rotation": 4, "tool_offset": 3}


def read(name: str, values: Mapping, arms: int) -> KeyMap:
    """The key map of a source from its section of the config.

    Args:
      name: the source's, for messages. values: the section. arms: 1 or 2.

    Raises:
      DataError: an unknown key (names the nearest), one that is missing, or a wrong value.
    """
    place = f"own.sources.{name}"
    fields = {field.name: field for field in dataclasses.fields(KeyMap)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(f"{place}.{key}: no such key{hint}")
    nothing = dataclasses.MISSING
    needed = {k for k, f in fields.items() if f.default is nothing and f.default_factory is nothing}
    if missing := sorted(needed - set(values)):
        raise DataError(f"{place}: keys {missing} are missing")
    plain = {key: _plain(key, value) for key, value in values.items()}
    views = sorted(plain["views"])
    for key, none in MASK_WAYS.items():
        plain.setdefault(key, dict.fromkeys(views, none))
        if sorted(plain[key]) != views:
            raise DataError(f"{place}.{key} has {sorted(plain[key])}, expected {views}, its views")
    try:
        for view, objects in plain.get("mask_colours", {}).items():
            plain["mask_colours"][view] = colours.read(f"mask_colours.{view}", objects)
        made = KeyMap(**plain)
        _check(made, arms)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None
    return made


def _plain(key: str, value):
    """Strings and lists of a config, or of its JSON, as the tuples of `KeyMap`."""
    if key in _SEVERAL and isinstance(value, str):
        value = (value,) if value else ()
    if key in _NUMBERS and isinstance(value, (int, float)):
        value = (value,)
    if isinstance(value, Mapping) or hasattr(value, "to_dict"):
        return dict(value)
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _check(made: KeyMap, arms: int) -> None:
    """Raises ValueError for values that cannot be."""
    for key, known in _CHOICES.items():
        if getattr(made, key) not in known:
            raise ValueError(f"{key} is {getattr(made, key)!r}, expected {' or '.join(known)}")
    for key, length in _LENGTHS.items():
        if len(getattr(made, key)) != length:
            raise ValueError(f"{key} is {getattr(made, key)}, expected {length} numbers")
    for key in ("position", "rotation", "gripper"):
        if len(getattr(made, key)) != arms:
            raise ValueError(
                f"{key} has {len(getattr(made, key))} keys, expected {arms}, one an arm"
            )
    if bool(made.proprio) != bool(made.action):
        raise ValueError("proprio and action must both be given (target) or both be empty")
    if not made.rate_hz > 0 or not made.weight > 0:
        raise ValueError(f"rate_hz {made.rate_hz} and weight {made.weight} must be above 0")
    if made.gripper_open == made.gripper_closed:
        raise ValueError("gripper_open and gripper_closed are equal")
    if not any(made.views.values()):
        raise ValueError("views has no key; at least one view is needed")
    _check_masks(made)
    rotations.width(made.rotation_form)
    made.selectors()


def _check_masks(made: KeyMap) -> None:
    """Raises ValueError for two kinds of masks of one view, or masks of images that are none."""
    for view in made.views:
        ways = [way for way in MASK_WAYS if getattr(made, way)[view]]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} of the {view} view are given; choose one")
        if ways and ways != ["masks"] and not made.views[view]:
            raise ValueError(f"{ways[0]} of the {view} view is given, but views has no key for it")
    if not 0 <= made.mask_hold_s < float("inf"):
        raise ValueError(f"mask_hold_s is {made.mask_hold_s}, expected 0 or more seconds")
