"""Stacking three 5 cm cubes with two arms. Use: --config=configs/stack_three.py:scale=quick"""

import sys

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=glam_o|glam|mip and scale=quick|standard|paper, comma separated."""
    try:
        return config.make("stack_three", argument, arms=2)
    except ValueError as error:
        sys.exit(f"stack_three: {error}")  # the flag's parser would wrap it in a traceback
