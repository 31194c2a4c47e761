"""Knocking down: push over a mustard bottle. Use: --config=configs/knock_down.py:scale=quick"""

import sys

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=glam_o|glam|mip and scale=quick|standard|paper, comma separated."""
    try:
        return config.make("knock_down", argument)
    except ValueError as error:
        sys.exit(f"knock_down: {error}")  # the flag's parser would wrap it in a traceback
