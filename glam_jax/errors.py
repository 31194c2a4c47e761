"""The errors that a user may meet: commands print each as one line, without a traceback.

A kind of error is a class below `UserError`, defined where it is raised, or here where several
packages raise it. Its message names the place, the key, what was found and what was expected.
"""

import difflib
from collections.abc import Collection


class UserError(Exception):
    """Something that the user can put right: a value, a file, a folder, a machine."""


class ConfigError(UserError, ValueError):
    """A value of a config or of the command line that is not possible."""


class DataError(UserError, ValueError):
    """Data that cannot be used."""


def did_you_mean(value: str, known: Collection[str]) -> str:
    """`; did you mean NAME?`, the known name nearest to an unknown one; "" if none is near."""
    near = difflib.get_close_matches(value, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of what a library says, for a message of one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
