"""Observations and actions as a recording has them: what a policy on own data sees and says."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from glam_jax.errors import DataError
from glam_jax.own_data.convert import Aim, Converter
from glam_jax.own_data.images import ImageForm
from glam_jax.own_data.key_map import KeyMap
from glam_jax.schema import EE_DIM, ROTATION
from glam_jax.serve import border

# What an action is once the key map's scale and offset are applied.
_KINDS = {
    "joint_positions": "joint targets of each arm, rad",
    "pose": "of each arm a position to go to, m, and the rest",
    "pose_delta": "of each arm a change of position, m, the rest, and the gripper",
    "other": "the policy's own numbers",
}


class RawForm:
    """A key map's way from stored arrays to the schema's, and back for actions; see `Form`.

    Pictures have the recorded dtype, and the recorded size unless sizes differed. All keys of
    actions are joined in the order in which the key map first names them, each whole, as numbers
    in a row; those that the key map does not pick are 0.
    """

    def __init__(self, keys: KeyMap, aim: Aim, stored: Mapping[str, Sequence]):
        """
        Args:
          keys: of the policy's target, with the views that the policy sees.
          aim: what it was converted to.
          stored: key -> [shape, dtype] of a step as recorded.

        Raises:
          DataError: numbers of no fixed count; see `Converter` too.
        """
        found = {
            keys.names.get(key, key): (tuple(s), np.dtype(d)) for key, (s, d) in stored.items()
        }
        self._keys = keys.for_clients()
        self._converter = Converter(self._keys, aim)
        roles = {
            name: [r for r in roles if r != "action" and not r.startswith("mask_")]
            for name, roles in self._keys.uses().items()
        }
        seen = {name: wanted for name, wanted in roles.items() if wanted}
        self.exact = frozenset(self._keys.views.values())
        self.spec = {
            name: (found[name][0], found[name][1] if name in self.exact else _real(found[name][1]))
            for name in seen
        }
        numbers = {
            role: [path for selector in selectors for path in selector.paths]
            for role, selectors in self._keys.numbers.items()
        }
        self._sizes = {name: _size(name, found[name][0]) for name in sum(numbers.values(), [])}
        self.parts = {name: self._sizes[name] for name in numbers["action"]}
        self.units = {name: "; ".join(self._units(name, wanted)) for name, wanted in seen.items()}
        linear = self._linear("action")
        recorded = f"as recorded; {linear} they are" if linear else "as recorded:"
        self.action_units = f"{recorded} {_KINDS[aim.action_kind]}"

    def observation(self, sent: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._converter.observation(sent)
        except ValueError as error:
            # There is but one step, so that its number says nothing.
            raise border.ObservationError(str(error).replace("step 0: ", "")) from None

    def origin(self, name: str, index: int) -> str:
        if name == "proprio":
            selectors = self._keys.numbers["proprio"]
            ends = np.cumsum([selector.width(self._sizes) for selector in selectors])
            text = selectors[int(np.searchsorted(ends, index, side="right"))].text
        else:
            arm, place = divmod(index, EE_DIM)
            role = "rotation" if place in ROTATION else "position"
            role = "gripper" if place == EE_DIM - 1 else "joints" if self._keys.robot_file else role
            text = self._keys.numbers[role][arm].text
        return f"{text}, converted to {name}[{index}]"

    def actions(self, actions: np.ndarray) -> np.ndarray:
        rows = np.reshape(actions, (-1, np.shape(actions)[-1]))
        found = self._converter.stored_actions(rows, self._sizes)
        joined = np.concatenate([found[name] for name in self.parts], axis=1)
        return joined.reshape(*np.shape(actions)[:-1], -1)

    def _units(self, name: str, roles: Iterable[str]) -> Iterable[str]:
        """What a client sends by a name, for each of its roles."""
        keys = self._keys
        units = {
            "position": f"position, {keys.position_unit}",
            "rotation": f"rotation, {keys.rotation_form}, angles in {keys.angle_unit}",
            "gripper": f"gripper, {keys.gripper_closed:g} closed, {keys.gripper_open:g} open",
            "joints": f"joint positions, {keys.joint_unit}",
            "proprio": " ".join(filter(None, ["joint state", self._linear("proprio")])),
        }
        for role in dict.fromkeys(roles):
            if role in units:
                selectors = keys.numbers[role]
                texts = [selector.text for selector in selectors if name in selector.paths]
                yield f"{', '.join(texts)}: {units[role]}"
            else:
                yield _picture(keys.image_forms[role.removeprefix("image_")])

    def _linear(self, role: str) -> str:
        """What is done to stored numbers of a role; "" for nothing."""
        scale, offset = (getattr(self._keys, f"{role}_{name}") for name in ("scale", "offset"))
        if set(scale) == {1.0} and set(offset) == {0.0}:
            return ""
        return f"times {_numbers(scale)} plus {_numbers(offset)}"


def _real(dtype: np.dtype) -> np.dtype:
    """Of numbers: floats as recorded, whole ones without rounding what a client sends."""
    return dtype if dtype.kind in "fb" else np.dtype(np.float64)


def _size(name: str, shape: Sequence[int | None]) -> int:
    if None in shape:
        raise DataError(f"key {name!r}: recorded with shape {shape}, expected a fixed one")
    return math.prod(shape)


def _picture(form: ImageForm) -> str:
    said = [
        form.colours,
        f"{form.low:g} black",
        f"{form.high:g} white",
        f"channels {form.channels}",
    ]
    said += [f"the box {form.crop} of it"] if form.crop else []
    said += [f"flipped ({form.flip})"] if form.flip else []
    said += [f"to be turned by {form.turn} degrees"] if form.turn else []
    return ", ".join(said)


def _numbers(values: Sequence[float]) -> str:
    """In words: `0.0174533 (7 times), 1`, or one number for all."""
    runs = [(value, len(list(same))) for value, same in itertools.groupby(values)]
    if len(runs) == 1:
        return f"{runs[0][0]:.6g}"
    return ", ".join(f"{value:.6g}" + (n > 1) * f" ({n} times)" for value, n in runs)
