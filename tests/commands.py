"""Commands of the package in the process of the tests, each with flags of its own."""

import importlib
import pathlib
import sys
from types import ModuleType

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

LIFTING = pathlib.Path(__file__).parents[1] / "configs" / "lifting.py"
_OWN = {}  # command -> its flags by name


def load(name: str) -> ModuleType:
    """The module of a command, whose flags are taken out again: others have the same names."""
    others = set(flags.FLAGS)
    module = importlib.import_module(name)
    _OWN.setdefault(name, _take(others))
    return module


def run(name: str, *words: str) -> None:
    """Calls `main` of a command as `python -m NAME WORDS` does, without its exit status."""
    module, others, argv = load(name), set(flags.FLAGS), [name, *words]
    given, sys.argv = sys.argv, argv  # config flags look for their overrides there
    for flag, made in _OWN[name].items():
        flags.FLAGS[flag] = made
    try:
        module.main(flags.FLAGS(argv))
    finally:
        sys.argv = given
        for made in _take(others).values():
            made.unparse()
        flags.FLAGS.unparse_flags()


def from_command_line(argument: str = "", *overrides: str) -> ConfigDict:
    """The config of lifting that an entry point gets, with an argument and flags."""
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    path = f"{LIFTING}:{argument}" if argument else str(LIFTING)
    with pytest.MonkeyPatch.context() as patch:  # the flag looks there for what is overridden
        patch.setattr(sys, "argv", ["program", f"--config={path}", *overrides])
        values(sys.argv)
    return flag.value


def _take(others: set[str]) -> dict[str, flags.Flag]:
    """Takes the flags of the package out again; those of libraries stay."""
    own = ("glam_jax", "ml_collections", "absl.flags")  # config files and what is set in them
    taken = {}
    for name in set(flags.FLAGS) - others:
        module = flags.FLAGS.find_module_defining_flag(name)  # None: `run` put it back
        if module is None or module.startswith(own):
            taken[name] = flags.FLAGS[name]
    for name in taken:
        delattr(flags.FLAGS, name)
    return taken
