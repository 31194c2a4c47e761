"""A trained policy as a function of numpy arrays, for code outside of glam_jax."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.demonstrations import gather
from glam_jax.demonstrations.source import Source
from glam_jax.experiment.workdir import Workdir
from glam_jax.serve import border
from glam_jax.stages import clone


@dataclasses.dataclass(frozen=True)
class Policy:
    """Observation -> action chunk, deterministic, physical units.

    Attributes:
      act: (params, observation, keys) -> (B, K, A); see `clone.make_act`.
      params: the network's parameters, and the demonstrations' statistics under "stats".
      config: of the run.
      target: whose robot it is for.
      action_bounds: lowest and highest action of the robot, each (A,), rad and gripper command;
        for own data, whose robot is not known here, those demonstrated.
    """

    act: Callable[[Any, dict, Any], jax.Array]
    params: dict
    config: ConfigDict
    target: Source
    action_bounds: tuple[np.ndarray, np.ndarray]

    @property
    def layout(self) -> schema.Layout:
        """What the arrays look like."""
        return self.target.layout

    @property
    def control_hz(self) -> float:
        """Actions per second."""
        return self.target.control_hz

    @property
    def chunk(self) -> int:
        """K, the actions of a chunk."""
        return self.config.policy.chunk

    @property
    def execute(self) -> int:
        """Actions of a chunk that the run's evaluation carries out before it decides again."""
        return self.config.evaluate.execute

    @property
    def observation_spec(self) -> border.Spec:
        """Name -> (shape, dtype) of one observation."""
        return border.observation_spec(self.layout)

    def __call__(self, observation: Mapping[str, Any]) -> np.ndarray:
        """The actions to carry out from now on, one each 1 / control_hz s.

        Args:
          observation: `image_<view>` (H, W, 3) uint8 for each view, such as `image_front`,
            `ee_pose` (E,) and `proprio` (S,), as in `schema`; or all with one leading axis B.

        Returns:
          (K, A) float32, or (B, K, A), within the range of the demonstrated actions: per arm seven
          joint targets (rad) and the gripper command in [0, 1], or what own data have.

        Raises:
          ObservationError: a name, shape or dtype that is not as expected, or numbers that are
            not finite.
        """
        pose = observation.get("ee_pose") if isinstance(observation, Mapping) else None
        batch = len(pose) if pose is not None and np.ndim(pose) == 2 else None
        seen = border.check(observation, self.observation_spec, batch=batch)
        if batch is None:
            seen = {name: array[None] for name, array in seen.items()}
        seen["image"] = np.stack([seen.pop(f"image_{view}") for view in self.layout.views], axis=1)
        chunks = np.asarray(self._jitted(self.params, seen, None))
        return chunks if batch is not None else chunks[0]

    @functools.cached_property
    def _jitted(self):
        return jax.jit(self.act)


def load_policy(workdir: epath.PathLike) -> Policy:
    """The policy of a run whose stage 2 has saved a checkpoint; the newest one.

    Args:
      workdir: the run's folder.

    Raises:
      WorkdirError: no run was started in the folder.
      FileNotFoundError, CheckpointError: it has no policy yet, or none that can be read.
    """
    run = Workdir(workdir)
    config = run.config()
    target = gather.target(config)
    act, params = clone.load(config, target.layout, run.policy)
    if target.simulated:
        bounds = target.make_env().action_bounds
    else:
        shown = params["stats"]["action"]
        bounds = tuple(np.asarray(shown[edge], np.float32) for edge in ("min", "max"))
    return Policy(act, jax.device_put(params), config, target, bounds)
