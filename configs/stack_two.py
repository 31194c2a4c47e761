"""Stacking two 5 cm cubes, red on blue. Use: --config=configs/stack_two.py:scale=quick"""

import sys

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=glam_o|glam|mip and scale=quick|standard|paper, comma separated."""
    try:
        return config.make("stack_two", argument)
    except ValueError as error:
        sys.exit(f"stack_two: {error}")  # the flag's parser would wrap it in a traceback
