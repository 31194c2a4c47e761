"""How commands start: what a user can put right ends in one line, not in a traceback."""

import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from glam_jax import files
from glam_jax.errors import UserError
from glam_jax.runtime import compiled, hosts


class ConfigFileError(UserError):
    """A file that gives no config."""


def run(main: Callable) -> None:
    """`absl.app.run`, with errors of use on one line of stderr and exit status 1, and with
    `compiled.keep`.

    These are `UserError` and its kinds, errors of the file system, and all that goes wrong before
    `main` starts, because only the command line and its config have been read by then. Any other
    error keeps its traceback. The other hosts of the run are told of each.
    """
    started = False
    compiled.define_flag()

    def begin(argv):
        nonlocal started
        started = True
        logging.set_verbosity(logging.WARNING)  # TFDS and MJX log every dataset and environment
        compiled.keep()
        return main(argv)

    try:
        app.run(begin)
    except Exception as error:
        if isinstance(error, (AttributeError, KeyError)) and not started:
            print(f"error: the config has no key {_one_line(error)}", file=sys.stderr)
        elif not started or isinstance(error, (UserError, OSError)):
            print(f"error: {_one_line(error)}", file=sys.stderr)
        elif hosts.alone():
            raise
        else:
            traceback.print_exc()
        hosts.fail(error)
        sys.exit(1)


def define_config(says: str) -> flags.FlagHolder:
    """Defines `--config=FILE` or `--config=FILE:ARGUMENT`, and `--config.KEY=VALUE`; see
    `ConfigFile`."""
    defined = config_flags.DEFINE_config_file("config", None, says)
    flags.FLAGS["config"].parser = ConfigFile()
    return defined


class ConfigFile(flags.ArgumentParser):
    """Reads a file to what its `get_config` gives for the argument."""

    def parse(self, text: str) -> ConfigDict:
        """The config, locked.

        Raises:
          ConfigFileError: there is no such file, or its code fails; names the file and the line.
        """
        path, *argument = text.split(":", 1)
        if not files.path(path).is_file():
            raise ConfigFileError(f"--config: there is no file {path!r}; see the folder configs/")
        loader = importlib.machinery.SourceFileLoader("config_file", path)
        spec = importlib.util.spec_from_loader("config_file", loader)
        module = importlib.util.module_from_spec(spec)
        try:
            loader.exec_module(module)
            config = module.get_config(*argument)
        except Exception as error:
            raise ConfigFileError(f"{_place(error, path)}: {_one_line(error)}") from error
        if not isinstance(config, ConfigDict):
            raise ConfigFileError(f"{path}: get_config gives {config!r}; expected a ConfigDict")
        return config.lock()


def _place(error: Exception, path: str) -> str:
    """The file, the line of it from which an error came, and what kind of error it is."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    line = f", line {lines[-1]}" if lines else ""
    return f"{path}{line}: {type(error).__name__}"


def _one_line(error: Exception) -> str:
    """What an error says; some say it in the error that they are made of, and in lines."""
    said = error.args[0] if isinstance(error, (AttributeError, KeyError)) and error.args else error
    said = said.args[0] if isinstance(said, KeyError) and said.args else said
    return "; ".join(line.strip() for line in str(said).splitlines() if line.strip())
