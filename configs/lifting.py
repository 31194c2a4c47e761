"""Lifting: hold a 5 cm cube 10 cm above the table. Use: --config=configs/lifting.py:scale=quick"""

import sys

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=glam_o|glam|mip and scale=quick|standard|paper, comma separated."""
    try:
        return config.make("lifting", argument)
    except ValueError as error:
        sys.exit(f"lifting: {error}")  # the flag's parser would wrap it in a traceback
