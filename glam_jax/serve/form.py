"""What observations and actions look like outside of a policy."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from glam_jax.schema import Layout
from glam_jax.serve import border


class Form(Protocol):
    """Between a client's arrays and those of the schema.

    Attributes:
      spec: name -> (shape, dtype) of what a client sends; None for a side that is free.
      exact: names of which the dtype must be that of the spec though it is of real numbers.
      parts: name -> width of what makes up an action, in order.
      units: name -> what a client sends. action_units: what it receives.
    """

    spec: border.Spec
    exact: frozenset[str]
    parts: dict[str, int]
    units: dict[str, str]
    action_units: str

    def observation(self, sent: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`image_<view>`, `ee_pose` and `proprio` of what a client sent, which `border.check` let
        pass.

        Raises:
          ObservationError: it holds what cannot be; names the client's array.
        """

    def origin(self, name: str, index: int) -> str:
        """Which of the client's arrays a number of `ee_pose` or `proprio` comes from."""

    def actions(self, actions: np.ndarray) -> np.ndarray:
        """Actions (..., A) as a client receives them, their parts joined: (..., A')."""


class SchemaForm:
    """The arrays of the schema as they are, which simulated robots have; see `Form`."""

    exact: frozenset[str] = frozenset()
    action_units = "joint targets (rad) and gripper command (0 closed, 1 open) of each arm"

    def __init__(self, layout: Layout):
        self.spec = border.observation_spec(layout)
        self.parts = {"action": layout.action_dim}
        self.units = {f"image_{view}": "RGB" for view in layout.views} | {
            "ee_pose": "position (m), two columns of the rotation matrix, opening (0 to 1)",
            "proprio": "joint positions (rad), opening (0 to 1)",
        }

    def observation(self, sent: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(sent)

    def origin(self, name: str, index: int) -> str:
        return f"{name}[{index}]"

    def actions(self, actions: np.ndarray) -> np.ndarray:
        return actions
