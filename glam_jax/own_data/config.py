"""The configuration of a run on data that someone recorded; see configs/own_data.py."""

import dataclasses
import sys

from ml_collections import ConfigDict

from glam_jax import config as base
from glam_jax import values
from glam_jax.errors import ConfigError, UserError
from glam_jax.own_data import key_map
from glam_jax.schema import SIMULATED

# Without masks in the data, the default is the method on RGB.
DEFAULTS = {"method": "glam", "scale": "standard"}
_KEYS = {
    "target", "target_episodes", "joins_target", "auxiliary", "heldout_episodes", "arms",
    "arm_proprio", "arm_action", "action_kind", "rate_hz", "image_size", "sources",
}  # fmt: skip


def on_command_line(task: str, own: dict, argument: str = "") -> ConfigDict:
    """`make`, ending the program with one line if something is wrong."""
    try:
        return make(task, own, argument)
    except UserError as error:
        sys.exit(f"error: {error}")


def make(task: str, own: dict, argument: str = "") -> ConfigDict:
    """The config of a run on own data, with every key present, locked.

    Args:
      task: a name of your own; it becomes part of folder names.
      own: the values of configs/own_data.py. argument: as for `config.make`.

    Raises:
      ValueError: a wrong argument, key or value; names it.
    """
    if wrong := sorted(set(own) ^ _KEYS):
        raise ConfigError(
            f"own data: keys {wrong} are missing or unknown, expected {sorted(_KEYS)}"
        )
    chosen = base.parse_argument(argument, DEFAULTS)
    data = ConfigDict()
    data.root = "runs/data"  # converted datasets are kept here
    data.target = own["target"]
    data.target_episodes = own["target_episodes"]
    data.views = ()  # all that the key maps have
    data.auxiliary = ConfigDict(own["auxiliary"])
    data.broken = ""
    data.heldout_episodes = own["heldout_episodes"]
    data.resident_bytes = 4 << 30
    values.check_one("own.arms", own["arms"])
    config = base.assemble(task, chosen, data, own["arms"])
    for source in own["joins_target"]:  # target data, which every method learns from
        config.data.auxiliary[source] = own["auxiliary"].get(source, 0)
    if not any(own["auxiliary"][name] for name in set(own["auxiliary"]) - set(own["joins_target"])):
        config.pretrain.target_share = config.clone.target_share = 1.0
    config.image_size = own["image_size"]
    names = (
        "joins_target", "arms", "arm_proprio", "arm_action", "action_kind", "rate_hz", "sources",
    )  # fmt: skip
    config.own = ConfigDict({name: own[name] for name in names})
    # Every key of a key map is there, so that a flag can set any of them.
    maps = check(config)
    config.own.sources = ConfigDict({name: dataclasses.asdict(keys) for name, keys in maps.items()})
    return config.lock()


def check(config: ConfigDict) -> dict[str, key_map.KeyMap]:
    """The key maps; raises ConfigError for sources that do not go together."""
    own, data = config.own, config.data
    used = {data.target, *data.auxiliary, *own.joins_target}
    if missing := sorted(used - set(own.sources)):
        raise ConfigError(f"no key map in sources for {missing}, found {sorted(own.sources)}")
    if data.target in data.auxiliary:
        raise ConfigError(f"{data.target} is the target and auxiliary too")
    if taken := sorted(set(own.sources) & set(SIMULATED)):
        raise ConfigError(f"sources {taken} have names of simulated ones; choose others")
    maps = {
        name: key_map.read(name, source.to_dict(), own.arms) for name, source in own.sources.items()
    }
    for name in (data.target, *own.joins_target):
        if not maps[name].has_actions:
            raise ConfigError(f"source {name} is a target, but its key map has no action")
    return maps
