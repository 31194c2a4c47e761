"""Knocking down: push over a mustard bottle. Use: --config=configs/knock_down.py:scale=quick"""

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=NAME,scale=NAME of `config.METHODS` and `config.SCALES`."""
    return config.on_command_line("knock_down", argument)
