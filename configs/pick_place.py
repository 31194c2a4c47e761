"""Pick and place: put a 5 cm cube into a bowl. Use: --config=configs/pick_place.py:scale=quick"""

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=NAME,scale=NAME of `config.METHODS` and `config.SCALES`."""
    return config.on_command_line("pick_place", argument)
