"""The errors that a user may meet: commands print each as one line, without a traceback.

A kind of error is a class below `UserError`, defined where it is raised, or here where several
packages raise it. Its message names the place, the key, what was found and what was expected.
"""


class UserError(Exception):
    """Something that the user can put right: a value, a file, a folder, a machine."""


class ConfigError(UserError, ValueError):
    """A value of a config or of the command line that is not possible."""


class DataError(UserError, ValueError):
    """Data that cannot be used."""
