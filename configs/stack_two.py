"""Stacking two 5 cm cubes, red on blue. Use: --config=configs/stack_two.py:scale=quick"""

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=NAME,scale=NAME of `config.METHODS` and `config.SCALES`."""
    return config.on_command_line("stack_two", argument)
