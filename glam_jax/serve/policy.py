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
from glam_jax.experiment.workdir import STORED, Workdir, WorkdirError
from glam_jax.runtime import checkpoint
from glam_jax.serve import border, limits
from glam_jax.serve.form import Form, SchemaForm
from glam_jax.serve.raw_form import RawForm
from glam_jax.stages import clone


@dataclasses.dataclass(frozen=True)
class Policy:
    """Observation -> action chunk, deterministic, in the units of the robot's own arrays.

    Attributes:
      act: (params, observation, keys) -> (B, K, A); see `clone.make_act`.
      params: the network's parameters, and the demonstrations' statistics under "stats".
      config: of the run.
      target: whose robot it is for.
      form: what observations and actions look like. Those of simulated robots are the schema's,
        those of other robots as they were recorded.
      limits: the robot's own; of own data, whose robot is not known here, those demonstrated.
      checkpoint: which training it is of, and up to which step.
    """

    act: Callable[[Any, dict, Any], jax.Array]
    params: dict
    config: ConfigDict
    target: Source
    form: Form
    limits: limits.Limits
    checkpoint: str

    @property
    def layout(self) -> schema.Layout:
        """What the schema's arrays look like."""
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
        """Name -> (shape, dtype) of one observation; a side that is None may have any length."""
        return self.form.spec

    def __call__(self, observation: Mapping[str, Any]) -> np.ndarray | dict[str, np.ndarray]:
        """The actions to carry out from now on, one each 1 / control_hz s.

        Args:
          observation: what `observation_spec` says, or all with one leading axis B. Of a simulated
            robot `image_<view>` (H, W, 3) uint8 for each view, such as `image_front`, `ee_pose`
            (E,) and `proprio` (S,), as in `schema`; of own data what was recorded, under the same
            keys, or those of `client_names`. A `prompt` is taken and changes nothing.

        Returns:
          (K, A) float32, or (B, K, A), within the range of the demonstrated actions: of a simulated
          robot seven joint targets (rad) and the gripper command in [0, 1] for each arm, of own
          data what was recorded. Name -> array where actions were recorded under several keys.

        Raises:
          ObservationError: a name, shape or dtype that is not as expected, or numbers that are
            not finite.
        """
        batch = border.rows(observation, self.form.spec)
        sent = border.check(observation, self.form.spec, batch, self.form.exact)
        each = (
            [sent] if batch is None else [{k: v[i] for k, v in sent.items()} for i in range(batch)]
        )
        seen = [self.form.observation(one) for one in each]
        chunks = self._chunks({name: np.stack([one[name] for one in seen]) for name in seen[0]})
        if batch is None:
            chunks = chunks[0]
        if len(self.form.parts) == 1:
            return chunks
        ends = np.cumsum(list(self.form.parts.values()))
        return dict(zip(self.form.parts, np.split(chunks, ends[:-1], axis=-1), strict=True))

    def read(self, observation: Mapping[str, Any], allowed: border.Ranges) -> dict[str, np.ndarray]:
        """One observation by the schema's names.

        Raises:
          ObservationError: as above, and for numbers outside of `allowed`, see `border.ranges`.
        """
        sent = border.check(observation, self.form.spec, exact=self.form.exact)
        seen = self.form.observation(sent)
        border.check_ranges(seen, allowed, self.form.origin)
        return seen

    def chunk_for(self, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """(K, A) for what `read` gave; the parts of an action are joined."""
        return self._chunks({name: array[None] for name, array in seen.items()})[0]

    def measured(self, seen: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """(A,) where the robot is, as an action, for what `read` gave; None if proprioception is
        not laid out as actions are."""
        layout = self.layout
        if self.target.action_kind != "joint_positions" or layout.arm_proprio != layout.arm_action:
            return None
        return self.form.actions(seen["proprio"])

    def _chunks(self, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B, K, A) for observations by the schema's names, each with a leading axis B."""
        numbers = {name: seen[name] for name in ("ee_pose", "proprio")}
        image = np.stack([seen[f"image_{view}"] for view in self.layout.views], axis=1)
        actions = self._jitted(self.params, {**numbers, "image": image}, None)
        return self.form.actions(np.asarray(actions))

    @functools.cached_property
    def _jitted(self):
        return jax.jit(self.act)


def load_policy(workdir: epath.PathLike) -> Policy:
    """The policy of a run whose stage 2 has saved a checkpoint; the newest one.

    Args:
      workdir: the run's folder.

    Raises:
      WorkdirError: no run was started in the folder, or one on own data by an earlier version.
      FileNotFoundError, CheckpointError: it has no policy yet, or none that can be read.
      DataError: the file of the robot, from which poses follow, is missing.
    """
    run = Workdir(workdir)
    config = run.config()
    target = gather.target(config)
    saved = checkpoint.restore_for_inference(run.policy)
    act, params = clone.restored(config, target.layout, saved)
    if target.simulated:
        form, kept = SchemaForm(target.layout), limits.simulated(target.make_env())
    else:
        form = _raw_form(target, run)
        shown = saved.statistics["action"]
        kept = limits.demonstrated(shown, target.action_kind, target.layout.arms, form)
    name = f"step {saved.step}, {saved.checksum:08x}"
    return Policy(act, jax.device_put(params), config, target, form, kept, name)


def _raw_form(target: Source, run: Workdir) -> RawForm:
    if not (run.path / STORED).exists():
        raise WorkdirError(
            f"{run.path / STORED} is missing: an earlier version trained this policy, which does "
            "not know what was recorded; train it anew"
        )
    views = {view: target.keys.views[view] for view in target.layout.views}
    keys = dataclasses.replace(target.keys, views=views)
    return RawForm(keys, target.aim, run.read(STORED))
