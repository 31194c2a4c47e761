"""Pick and place: put a 5 cm cube into a bowl. Use: --config=configs/pick_place.py:scale=quick"""

import sys

from glam_jax import config


def get_config(argument: str = ""):
    """`argument`: method=glam_o|glam|mip and scale=quick|standard|paper, comma separated."""
    try:
        return config.make("pick_place", argument)
    except ValueError as error:
        sys.exit(f"pick_place: {error}")  # the flag's parser would wrap it in a traceback
