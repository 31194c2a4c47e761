"""One simulated world of a task with a robot: pure `reset` and `step`, batched by vmap.

Physics is MJX at 100 Hz, control 20 Hz. Jit whatever calls `step` or `render` with
`compiler_options=simulation_options()`.
"""

import functools
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from glam_jax import schema
from glam_jax.sim import kinematics, linear, realism, render, scenes
from glam_jax.sim.poses import make_poses
from glam_jax.sim.robots import FINGER_TRAVEL, ROBOTS, Robot
from glam_jax.sim.tasks import TASKS
from glam_jax.sim.tasks.task import Situation, Start, Task

# Count up when a change of scenes, robots, tasks or experts makes other episodes of the same seeds:
# `demonstrations.simulated` refuses episodes of other versions.
SIMULATOR_VERSION = f"glam_jax simulation 11, mujoco-mjx {mujoco.__version__}"


class Sight(NamedTuple):
    """What the pictures of one state follow from: what `Env.render` takes.

    Attributes:
      geom_xpos, geom_xmat: positions (G, 3) m and rotations (G, 3, 3) of all geoms.
      draw: (3,) uint32, what looks and noise follow from; None in clean simulation.
    """

    geom_xpos: jax.Array
    geom_xmat: jax.Array
    draw: jax.Array | None = None


@flax.struct.dataclass
class EnvState:
    """State of one world.

    Attributes:
      data: physics, with kinematics up to date.
      step: control steps since reset, int32.
      held: control steps for which the task's condition has now held, int32.
      success: True once it has held for `task.hold_steps`; stays True.
      real: what only a stand-in for a real robot, or a recording in the field, has; None in
        clean simulation.
    """

    data: mjx.Data
    step: jax.Array
    held: jax.Array
    success: jax.Array
    real: realism.Condition | None = None


@functools.cache
def simulation_options() -> dict:
    """Compiler options for `jax.jit` of simulation and rendering on this backend.

    XLA's fusion emitters on CPU recompute the chain of parents at every link of an arm, in
    jax 0.10, which makes a physics step about 90 times slower. Later versions do not, and
    refuse the option.
    """
    options = {"xla_cpu_use_fusion_emitters": False}
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(jnp.negative, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def make_env(task: str, robot: str, image_size: int = 64, views: tuple[str, ...] = ()) -> "Env":
    """The world of a task with a robot; the same arguments give the same object.

    Args:
      views: the cameras whose pictures it has; () for all of the task's.

    Raises:
      ValueError: unknown task, robot or view; lists the known names.
    """
    for kind, name, known in (("task", task, TASKS), ("robot", robot, ROBOTS)):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}")
    if image_size < 8:
        raise ValueError(f"image_size must be at least 8 pixels, found {image_size}")
    known = TASKS[task].views
    for view in views:
        if view not in known:
            raise ValueError(f"unknown view {view!r}; known: {', '.join(known)}")
    return _make_env(task, robot, image_size, tuple(sorted(set(views))) or known)


@functools.cache
def _make_env(task, robot, image_size, views):
    return Env(TASKS[task], ROBOTS[robot], image_size, views)


class Env:
    """Pure functions over one world; make it with `make_env`, batch it with `jax.vmap`."""

    control_hz = scenes.CONTROL_HZ

    def __init__(self, task: Task, robot: Robot, image_size: int, views: tuple[str, ...] = ()):
        self.task, self.robot, self._realism = task, robot, robot.realism
        waits = self._realism.demonstrator.most_paused if self._realism else 0
        self.horizon, self.plan_steps = task.horizon + waits, task.plan_steps + waits
        self.layout = schema.Layout(
            task.arms, image_size, robot.has_actions, views=views or task.views
        )
        self.action_dim = robot.action_dim * task.arms
        scene = robot, task.objects, task.arms, task.cameras, task.contact_limits
        self.mj_model = scenes.build(*scene)
        # By itself MJX takes the first device of all hosts, which others cannot reach.
        self._device = jax.local_devices()[0]
        self._model = mjx.put_model(scenes.build(*scene, carried=False), device=self._device)
        self._prefixes = tuple(f"arm{arm}_" for arm in range(task.arms))
        model, joints = self.mj_model, len(robot.joints)
        self._per_arm = joints + 2
        # h K: what velocities of the coming step feel of the servos' damping.
        servos = -model.actuator_biasprm[:, 2]  # kv of each, in the order of the arms' joints
        damping = model.dof_damping + np.pad(servos, (0, model.nv - model.nu))
        self._implicit = np.diag(model.opt.timestep * damping).astype(np.float32)
        self._tcp_sites = [model.site(p + "tcp").id for p in self._prefixes]
        self._object_bodies = np.array([model.body(o.name).id for o in task.objects])
        self._object_geoms = np.flatnonzero(np.isin(model.geom_bodyid, self._object_bodies))
        self._object_velocities = np.array(
            [model.jnt_dofadr[model.joint(o.name).id] + np.arange(3) for o in task.objects]
        )
        self.bases = scenes.bases(task.arms) * float(robot.stands)
        self._poses = make_poses(model)
        self._render = render.make_renderer(
            model, self.layout.views, image_size, objects=self._object_geoms, antialias=True
        )
        self._visual = self._realism.visual if self._realism else None
        if task.in_the_field and not robot.has_actions:
            self._visual = realism.FIELD
        if self._visual:
            self._look = realism.make_look(self._visual, model, self._object_geoms)

    @property
    def action_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest action, each (A,): joint limits (rad), gripper command 0 to 1."""
        free = np.full(self.robot.action_dim - 1, np.inf)
        limits = kinematics.JOINT_LIMITS if self.robot.has_actions else free
        low, high = np.append(-np.asarray(limits), 0.0), np.append(limits, 1.0)
        return tuple(np.tile(edge, self.task.arms).astype(np.float32) for edge in (low, high))

    # ---------------------------------------------------------------- dynamics

    def reset(self, key: jax.Array) -> EnvState:
        """A new episode: scene and start pose of the hand follow from the key alone.

        All robots give the same scene and the same start pose for one key.
        """
        start = self.task.sample(key)
        qpos = jnp.concatenate([*self._start_arms(start), _free_joints(start)])
        data = mjx.make_data(self._model, device=self._device)
        data = data.replace(qpos=qpos, ctrl=qpos[: self._model.nu])
        zero = jnp.zeros((), jnp.int32)
        real = None
        if self._visual:
            latency = self._realism.dynamic.latency if self._realism else 0
            real = realism.start(latency, jax.random.fold_in(key, 3), data.ctrl)
        return EnvState(self._refresh(data), zero, zero, jnp.zeros((), bool), real)

    def _start_arms(self, start: Start):
        rotation = kinematics.pointing_down(start.tcp_yaw)
        for arm in range(self.task.arms):
            position = start.tcp_position[arm] - self.bases[arm]
            yield self.robot.start_joints(position, rotation[arm])
            yield jnp.full(2, FINGER_TRAVEL)

    def _refresh(self, data: mjx.Data) -> mjx.Data:
        """Bring bodies, geoms and sites to where the joints are now."""
        return data.replace(**self._poses(data.qpos)._asdict())

    def step(self, state: EnvState, action: jax.Array) -> EnvState:
        """Hold an action for one control step (50 ms).

        Args:
          action: per arm, Kinova: 7 joint targets (rad) and a gripper command in [0, 1], (A,);
            UMI: a target end-effector pose (E,). Clipped to the ranges of the actuators.
            A stand-in for a real robot carries it out late (`realism.Dynamic.latency`).
        """
        arms = jnp.reshape(action, (self.task.arms, -1))
        joints = jnp.reshape(state.data.qpos[: self._model.nu], (self.task.arms, -1))
        ctrl, real = jnp.ravel(jax.vmap(self.robot.control)(arms, joints)), state.real
        if real is not None:
            ctrl, real = realism.delayed(real, ctrl)
        data = state.data.replace(ctrl=ctrl)

        def substep(data, _):
            return self._substep(data), None

        with jax.default_matmul_precision("highest"):
            data, _ = jax.lax.scan(substep, data, length=scenes.SUBSTEPS)
        data = self._refresh(data)
        held = jnp.where(self._condition(data), state.held + 1, 0)
        success = state.success | (held >= self.task.hold_steps)
        return EnvState(data, state.step + 1, held, success, real)

    def _substep(self, data: mjx.Data) -> mjx.Data:
        """`mjx.step` with its integrator "implicitfast": M + h K instead of M, K the servos' kv.

        Bodies are coupled by M within an arm alone, so that a system for each arm is enough.
        `linear` says why not `mjx.implicit`, whose result this is.
        """
        data = mjx.forward(self._model, data)
        stiff = mjx.full_m(self._model, data) + self._implicit
        forces = data.qfrc_smooth + data.qfrc_constraint
        acceleration = data.qacc
        for arm in range(self.task.arms):
            own = slice(arm * self._per_arm, (arm + 1) * self._per_arm)
            solved = linear.solve(stiff[own, own], forces[own])
            acceleration = acceleration.at[own].set(solved)
        after = mjx.euler(self._model, data.replace(qacc=acceleration))
        return after.replace(qacc_warmstart=data.qacc)

    def _condition(self, data):
        bodies = self._object_bodies
        now = Situation(
            position=data.xpos[bodies],
            rotation=data.xmat[bodies],
            velocity=data.qvel[self._object_velocities],
            tcp_position=data.site_xpos[np.array(self._tcp_sites)],
            opening=jnp.stack([self._opening(data, arm) for arm in range(self.task.arms)]),
        )
        return self.task.condition(now)

    # ------------------------------------------------------------ observations

    def success(self, state: EnvState) -> jax.Array:
        """Whether the task has been done, latched: bool scalar."""
        return state.success

    def _opening(self, data, arm):
        first = (arm + 1) * self._per_arm - 2
        return jnp.clip(jnp.mean(data.qpos[first : first + 2]) / FINGER_TRAVEL, 0.0, 1.0)

    def ee_pose(self, state: EnvState) -> jax.Array:
        """End-effector poses (E,) in the world, as in `schema`."""
        data, parts = state.data, []
        for arm, site in enumerate(self._tcp_sites):
            pose = data.site_xpos[site], data.site_xmat[site], self._opening(data, arm)
            parts.append(kinematics.ee_pose(*pose))
        return jnp.concatenate(parts)

    def proprio(self, state: EnvState) -> jax.Array:
        """Joint angles (rad) and gripper opening of each arm (S,); meant for target sources."""
        data, parts = state.data, []
        for arm in range(self.task.arms):
            first = arm * self._per_arm
            joints = data.qpos[first : first + self._per_arm - 2]
            parts += [joints, self._opening(data, arm)[None]]
        return jnp.concatenate(parts)

    def sight(self, state: EnvState) -> Sight:
        """What `render` needs of a state: small, where pictures are large."""
        draw = None
        if state.real is not None:
            draw = jnp.append(state.real.draw, state.step.astype(jnp.uint32))
        return Sight(state.data.geom_xpos, state.data.geom_xmat, draw)

    def render(self, sight: Sight) -> dict[str, jax.Array]:
        """Images (H, W, 3) and object masks (H, W, 1) of all views, uint8, by schema name."""
        look = self._look(sight.draw[:2]) if self._visual else None
        views = self._render(sight.geom_xpos, sight.geom_xmat, look)
        rgb = views["rgb"]
        if self._visual:
            noise = self._visual.noise
            rgb = realism.sensor_noise(rgb, sight.draw[:2], sight.draw[2], noise)
        named = {}
        for i, view in enumerate(self.layout.views):
            named[f"image_{view}"] = rgb[i]
            named[f"mask_{view}"] = views["mask"][i][..., None]
        return named

    def observe(self, state: EnvState) -> dict[str, jax.Array]:
        """What one step of an episode holds, without the action."""
        seen = {**self.render(self.sight(state)), "ee_pose": self.ee_pose(state)}
        if self.robot.has_actions:
            seen["proprio"] = self.proprio(state)
        return seen


def _free_joints(start: Start):
    """Positions of the objects' free joints, (7 N,)."""
    half, zero = start.object_yaw / 2, jnp.zeros_like(start.object_yaw)
    turn = jnp.stack([jnp.cos(half), zero, zero, jnp.sin(half)], axis=-1)
    return jnp.ravel(jnp.concatenate([start.object_position, turn], axis=-1))
