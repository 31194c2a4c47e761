"""The key map: where in a foreign dataset each of the schema's arrays is, and in what form."""

import dataclasses
import functools
from collections.abc import Collection, Mapping

from etils import epath

from glam_jax.errors import DataError, did_you_mean
from glam_jax.own_data import colours, rotations
from glam_jax.own_data.colours import Colour
from glam_jax.own_data.images import FITS, ImageForm
from glam_jax.own_data.selector import Selector

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
ERROR, SKIP = "error", "skip"


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """How one source of own data is stored; every field is a key of the config.

    Keys are paths inside a step, `observation/image`, or columns of a LeRobot dataset,
    `observation.images.top`; `[i]` or `[from:to]` picks numbers, a comma joins them:
    `state[0],state[2],grip`.

    Attributes:
      path: of the dataset; see docs/own_data.md for each format.
      split: whose episodes are trained on. heldout_split: whose are never trained on; "" takes
        them from the end of `split`.
      views: view -> key of its images; the view does not exist where the key is "".
      image_forms: view -> how its images are stored, see `images.ImageForm`.
      masks: view -> key of its masks, any number above 0 on the objects. mask_colours: view ->
        object -> its colour, see `tracking.Tracker`. mask_folder: view -> folder of PNG masks, see
        `frame_files`. Of each view at most one of the three; with none zeros are stored.
      mask_hold_s: for how long, s, an object that is not seen keeps its mask by colour.
      position, rotation, gripper: end-effector pose; with two arms one key for each. Of 16 numbers
        of a 4 x 4 matrix `position` takes those of the position. Two numbers of `gripper` are two
        opposed fingers, whose distances add up. All empty: the pose is not recorded.
      rotation_form: see `rotations.FORMS`. position_unit, angle_unit: of the pose.
      robot_file: URDF or MJCF of the robot, from which the pose of `robot_tool`, a body or site
        (with two arms two), follows by forward kinematics, in place of position and rotation.
      joints: keys of its joint positions, in `joint_unit`, one for each arm. robot_joints: their
        names in the file, in order, arm by arm.
      gripper_closed, gripper_open: the stored values at opening 0 and 1.
      base_position (m), base_rotation (quaternion xyzw): the pose's frame in the workspace.
      tool_offset (m): the point between the fingers, seen from the stored pose.
      proprio, action: keys whose numbers are joined, arm by arm; "" for an auxiliary source.
      proprio_scale, proprio_offset, action_scale, action_offset: used is stored * scale + offset;
        one for all numbers or one for each.
      alignment: "sar", or "ars" where a step stores the action that led to it.
      rate_hz: steps per second as recorded. timestamp_tolerance: how far a frame may be from its
        time, as a share of the time between two.
      fit: how images that are not square become so: crop, pad or stretch.
      success: key of the episode's success, "" where all succeeded. include_failed: whether failed
        episodes are used too.
      text: key of the instruction. text_has: only episodes whose instruction has this in it.
      episodes: which ones of `split` are used, such as `0:50,60`; "" uses all. min_steps,
        max_steps: bounds of their recorded lengths, 0 for none.
      on_bad: what a bad episode does: `error` ends the conversion, `skip` leaves it out.
      cameras: a name of where the cameras stood; sources that are trained together share it.
      client_names: what the clients of a served policy call an array -> its key, where they differ.
      weight: how often its rows are drawn, relative to other sources of its kind.
    """

    path: str
    rate_hz: float
    views: Mapping[str, str]
    position: tuple[str, ...] = ()
    rotation: tuple[str, ...] = ()
    gripper: tuple[str, ...] = ()
    rotation_form: str = "quaternion_xyzw"
    split: str = "train"
    heldout_split: str = ""
    image_forms: Mapping[str, ImageForm] = dataclasses.field(default_factory=dict)
    masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mask_colours: Mapping[str, Mapping[str, Colour]] = dataclasses.field(default_factory=dict)
    mask_folder: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mask_hold_s: float = 1.0
    position_unit: str = "m"
    angle_unit: str = "rad"
    robot_file: str = ""
    robot_tool: tuple[str, ...] = ()
    robot_joints: tuple[str, ...] = ()
    joints: tuple[str, ...] = ()
    joint_unit: str = "rad"
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
    timestamp_tolerance: float = 0.1
    fit: str = "crop"
    success: str = ""
    include_failed: bool = False
    text: str = ""
    text_has: str = ""
    episodes: str = ""
    min_steps: int = 0
    max_steps: int = 0
    on_bad: str = ERROR
    cameras: str = "cameras"
    client_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    weight: float = 1.0

    @property
    def has_actions(self) -> bool:
        """True for a target source."""
        return bool(self.action)

    @property
    def has_pose(self) -> bool:
        """Whether the end-effector pose is recorded, or follows from the joints."""
        return bool(self.position or self.robot_file)

    @property
    def has_masks(self) -> bool:
        """True if the masks of a view are had in any way."""
        return any(any(getattr(self, way).values()) for way in MASK_WAYS)

    @functools.cached_property
    def numbers(self) -> dict[str, list[Selector]]:
        """What is read of each step beside pictures: role -> selectors, in order."""
        found = {role: [Selector.parse(t) for t in getattr(self, role) if t] for role in _NUMBERS}
        return {role: selectors for role, selectors in found.items() if selectors}

    def uses(self) -> dict[str, list[str]]:
        """Keys of all that is read of each step -> what for: `position`, `image_front`, ..."""
        found: dict[str, list[str]] = {}
        for role, selectors in self.numbers.items():
            for path in (path for selector in selectors for path in selector.paths):
                found.setdefault(path, []).append(role)
        for view, key in self.views.items():
            found.setdefault(key, []).append(f"image_{view}")
            if mask := self.masks[view]:
                found.setdefault(mask, []).append(f"mask_{view}")
        return found

    def for_clients(self) -> "KeyMap":
        """The same with the names of clients for keys."""
        names = self.names
        numbers = {
            role: tuple(selector.renamed(names) for selector in selectors)
            for role, selectors in self.numbers.items()
        }
        views = {view: names.get(key, key) for view, key in self.views.items()}
        return dataclasses.replace(self, views=views, **numbers)

    @property
    def names(self) -> dict[str, str]:
        """Key -> what clients call it, where they call it otherwise."""
        return {key: name for name, key in self.client_names.items()}

    def stored_form(self) -> dict:
        """All that the converted episodes depend on, as plain values, to recognise a change."""
        plain = dataclasses.asdict(self)
        for key in ("weight", "on_bad", "client_names"):
            del plain[key]
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
          steps: keys that it has in a step. episode: those where `success` and `text` may be.
          noun: what its keys are called.

        Raises:
          DataError: it does not; names what is missing, and what is there.
        """
        for split in filter(None, (self.split, self.heldout_split)):
            if not lengths.get(split):
                raise DataError(f"{folder}: no episodes in split {split!r}, found {dict(lengths)}")
        wanted = [(path, roles[0], steps) for path, roles in self.uses().items()]
        wanted += [(k, f, episode) for f in ("success", "text") if (k := getattr(self, f))]
        for path, role, known in wanted:
            if path not in known:
                raise DataError(
                    f"{folder}: no {noun} {path!r} (for {role}){did_you_mean(path, known)}, "
                    f"found {', '.join(sorted(known))}"
                )


# How the masks of a view are had -> what says that they are not.
MASK_WAYS = {"masks": "", "mask_colours": {}, "mask_folder": ""}
_NUMBERS = ("position", "rotation", "gripper", "joints", "proprio", "action")
_SEVERAL = (*_NUMBERS, "robot_tool", "robot_joints")
_LINEAR = ("proprio_scale", "proprio_offset", "action_scale", "action_offset")
_CHOICES = {
    "position_unit": tuple(METRES),
    "angle_unit": ("rad", "deg"),
    "joint_unit": ("rad", "deg"),
    "fit": FITS,
    # RLDS's names: state, action, reward; or the action that led to the state of its step.
    "alignment": ("sar", "ars"),
    "on_bad": (ERROR, SKIP),
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
    try:
        _check_names(values, fields)
        plain = {key: _plain(key, value) for key, value in values.items()}
        made = KeyMap(**_by_view(plain))
        _check(made, arms)
    except ValueError as error:
        raise DataError(f"{place}{error}") from None
    return made


def _check_names(values: Mapping, fields: Mapping[str, dataclasses.Field]) -> None:
    for key in values:
        if key not in fields:
            raise ValueError(f".{key}: no such key{did_you_mean(key, fields)}")
    nothing = dataclasses.MISSING
    needed = {k for k, f in fields.items() if f.default is nothing and f.default_factory is nothing}
    if missing := sorted(needed - set(values)):
        raise ValueError(f": keys {missing} are missing")


def _plain(key: str, value):
    """Strings and lists of a config, or of its JSON, as the tuples of `KeyMap`."""
    if key in _SEVERAL and isinstance(value, str):
        value = (value,) if value else ()
    if key in _LINEAR and isinstance(value, (int, float)):
        value = (value,)
    if isinstance(value, Mapping) or hasattr(value, "to_dict"):
        return dict(value)
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _by_view(plain: dict) -> dict:
    """The fields, with those by view complete, and without views that have no key."""
    views = {view: key for view, key in plain["views"].items() if key}
    if not views:
        raise ValueError(": views has no key; at least one view is needed")
    for key, nothing in {**MASK_WAYS, "image_forms": {}}.items():
        given = plain.get(key, {})
        for view in sorted(set(given) - set(views)):
            if given[view] and view not in plain["views"]:
                raise ValueError(
                    f".{key} has {view!r}, expected views: {', '.join(plain['views'])}"
                )
            if given[view] and key in MASK_WAYS:
                raise ValueError(
                    f": {key} of the {view} view is given, but views has no key for it"
                )
        plain[key] = {view: given.get(view, nothing) for view in views}
    for view in views:
        plain["image_forms"][view] = _image_form(view, plain["image_forms"][view])
        objects = plain["mask_colours"][view]
        try:
            plain["mask_colours"][view] = colours.read(f"mask_colours.{view}", objects)
        except ValueError as error:
            raise ValueError(f": {error}") from None
    return plain | {"views": views}


def _image_form(view: str, values: Mapping) -> ImageForm:
    known = [field.name for field in dataclasses.fields(ImageForm)]
    for key in values:
        if key not in known:
            hint = did_you_mean(key, known) or f", expected {', '.join(known)}"
            raise ValueError(f".image_forms.{view}.{key}: no such key{hint}")
    made = ImageForm(**{key: _plain(key, value) for key, value in values.items()})
    try:
        made.check()
    except ValueError as error:
        raise ValueError(f".image_forms.{view}.{error}") from None
    return made


def _check(made: KeyMap, arms: int) -> None:
    """Raises ValueError for values that cannot be."""

    def fail(text):
        raise ValueError(f": {text}")

    for key, known in _CHOICES.items():
        if getattr(made, key) not in known:
            fail(f"{key} is {getattr(made, key)!r}, expected {' or '.join(known)}")
    for key, length in _LENGTHS.items():
        if len(getattr(made, key)) != length:
            fail(f"{key} is {getattr(made, key)}, expected {length} numbers")
    for key in ("position", "rotation", "gripper", "joints", "robot_tool"):
        if (found := len(getattr(made, key))) not in (0, arms):
            fail(f"{key} has {found} keys, expected {arms}, one an arm")
    if made.robot_file:
        _check_robot(made, arms, fail)
    elif bool(made.position) != bool(made.rotation):
        fail("position and rotation must both be given or both be empty")
    if made.gripper and not made.has_pose:
        fail("gripper is given without position, or robot_file, for the rest of the pose")
    if bool(made.proprio) != bool(made.action):
        fail("proprio and action must both be given (target) or both be empty")
    if not made.rate_hz > 0 or not made.weight > 0:
        fail(f"rate_hz {made.rate_hz} and weight {made.weight} must be above 0")
    if not 0 < made.timestamp_tolerance <= 1:
        fail(f"timestamp_tolerance is {made.timestamp_tolerance}, expected above 0, at most 1")
    if made.gripper_open == made.gripper_closed:
        fail("gripper_open and gripper_closed are equal")
    if not made.min_steps >= 0 or not made.max_steps >= 0:
        fail(f"min_steps {made.min_steps} and max_steps {made.max_steps} must be 0 or more")
    if made.text_has and not made.text:
        fail("text_has is given, but text, the key of the instruction, is not")
    for view in made.views:
        if len(ways := [way for way in MASK_WAYS if getattr(made, way)[view]]) > 1:
            fail(f"{' and '.join(ways)} of the {view} view are given; choose one")
    if not 0 <= made.mask_hold_s < float("inf"):
        fail(f"mask_hold_s is {made.mask_hold_s}, expected 0 or more seconds")
    try:
        rotations.width(made.rotation_form)
        made.for_clients().numbers  # noqa: B018, parses
    except ValueError as error:
        fail(str(error))
    _check_names_of_clients(made, fail)


def _check_names_of_clients(made: KeyMap, fail) -> None:
    known = made.uses()
    for name, key in made.client_names.items():
        if key not in known:
            fail(f"client_names.{name} is {key!r}, expected a key of this map: {', '.join(known)}")
    if len(made.names) < len(made.client_names) or len(made.for_clients().uses()) < len(known):
        fail(f"client_names is {made.client_names}, expected one name for each key")


def _check_robot(made: KeyMap, arms: int, fail) -> None:
    if made.position or made.rotation:
        fail("robot_file is given, and position or rotation too; choose one")
    for key in ("robot_tool", "joints"):
        if not getattr(made, key):
            fail(f"robot_file is given without {key}")
    if not made.robot_joints or len(made.robot_joints) % arms:
        fail(f"robot_joints has {len(made.robot_joints)} names, expected as many for each arm")
