"""Stacking three 5 cm cubes with two arms. Use: --config=configs/stack_three.py:scale=quick"""

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=NAME,scale=NAME of `config.METHODS` and `config.SCALES`."""
    return config.on_command_line("stack_three", argument)
