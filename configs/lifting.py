"""Lifting: hold a 5 cm cube 10 cm above the table. Use: --config=configs/lifting.py:scale=quick"""

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=NAME,scale=NAME of `config.METHODS` and `config.SCALES`."""
    return config.on_command_line("lifting", argument)
