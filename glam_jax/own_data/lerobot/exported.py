"""What an export says of itself beside LeRobot's own files, so that it comes in as it went out."""

from etils import epath

from glam_jax import files
from glam_jax.data.recording import Recording
from glam_jax.errors import DataError, first_line
from glam_jax.own_data import key_map
from glam_jax.own_data.convert import Aim
from glam_jax.own_data.key_map import KeyMap
from glam_jax.schema import Layout

FILE = "meta/glam_jax.json"
_LAYOUT = ("arms", "image_size", "arm_proprio", "arm_action")


def describe(recording: Recording, key_map: dict) -> dict:
    """The content of `FILE`, for a dataset and the key map that reads it."""
    about = {name: getattr(recording.layout, name) for name in _LAYOUT}
    about |= {"task": recording.task, "source": recording.source, "key_map": key_map}
    return about | {"action_kind": recording.about.get("action_kind", "joint_positions")}


def read(folder: epath.Path) -> tuple[str, str, KeyMap, Aim]:
    """What `describe` wrote into a LeRobot dataset.

    Returns:
      Names of the task and of the source, where everything is, and what it was.

    Raises:
      DataError: it is not there, or damaged.
    """
    path = folder / FILE
    try:
        found = files.read_json(path)
        values = found["key_map"] | {"path": str(folder)}
        keys = key_map.read(found["source"], values, found["arms"])
        sizes = {name: found[name] for name in _LAYOUT}
        layout = Layout(has_actions=True, views=tuple(keys.views), **sizes)
        aim = Aim(layout, keys.rate_hz, found["action_kind"])
        return found["task"], found["source"], keys, aim
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file, so this is no export of glam_jax; describe its columns by a "
            "key map: --config=configs/own_data.py --source=NAME"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({type(error).__name__}: {first_line(error)})") from error
