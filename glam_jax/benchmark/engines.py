"""MuJoCo's other engines on the models of the environments, to measure against.

`mjx.step` as it is, MJX-Warp, C MuJoCo on many worlds at once, and its pictures by OpenGL. All
simulate worlds that hold their controls from given states on; what `Env` does besides physics, such
as delays of a stand-in for a real robot, is left out.
"""

import os
from collections.abc import Callable

import chex
import jax
import mujoco
import mujoco.rollout
import numpy as np
from mujoco import mjx

from glam_jax.sim.env import Env, EnvState, simulation_options


def mjx_steps(env: Env, state: EnvState, steps: int) -> Callable[[], jax.Array]:
    """A call that simulates worlds (N, ...) for so many physics steps by `mjx.step`; (N, Q)."""
    model = mjx.put_model(env.mj_model)

    def simulate(data):
        def step(data, _):
            return jax.vmap(mjx.step, (None, 0))(model, data), None

        with jax.default_matmul_precision("highest"):
            return jax.lax.scan(step, data, length=steps)[0].qpos

    call = jax.jit(simulate, compiler_options=simulation_options())
    return lambda: call(state.data)


def warp_steps(env: Env, state: EnvState, steps: int) -> Callable[[], np.ndarray]:
    """The same by MJX-Warp, on its default device; each call goes on from the states given.

    Raises:
      ImportError: Warp is missing.
    """
    import warp
    from mujoco.mjx.third_party import mujoco_warp

    warp.config.quiet = True
    model, data = env.mj_model, mujoco.MjData(env.mj_model)
    mujoco.mj_forward(model, data)
    qpos, ctrl = np.asarray(state.data.qpos), np.asarray(state.data.ctrl)
    # Room for each world's contacts and constraints: as many as MJX solves for.
    contacts = max(64, state.data._impl.contact.dist.shape[-1])
    rows = max(300, state.data._impl.efc_J.shape[-2])
    engine = mujoco_warp.put_model(model)
    batch = mujoco_warp.put_data(model, data, len(qpos), nconmax=contacts, njmax=rows)

    def simulate():
        batch.qpos.assign(qpos)
        batch.qvel.zero_()
        batch.qacc_warmstart.zero_()
        batch.ctrl.assign(ctrl)
        for _ in range(steps):
            mujoco_warp.step(engine, batch)
        return batch.qpos.numpy()

    return simulate


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class NativeWorlds:
    """N worlds of an environment's model in C MuJoCo, by `mujoco.rollout`."""

    def __init__(self, env: Env, qpos_NxQ: np.ndarray):
        """Places the worlds; as many run at the same time as there are usable cores.

        Args:
          env: whose model, physics settings included, is simulated.
          qpos_NxQ: positions of all joints at the start (N, Q), rad and m; velocities are 0.
        """
        self._model = model = env.mj_model
        chex.assert_shape(qpos_NxQ, (None, model.nq))
        threads = usable_cores()
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads if threads > 1 else 0)
        self._first = np.stack([_state(model, qpos) for qpos in qpos_NxQ])

    def run(self, ctrl_NxU: np.ndarray, steps: int) -> np.ndarray:
        """Positions (N, Q) after `steps` of physics from the start, with held controls (N, U)."""
        control = np.asarray(ctrl_NxU, np.float64)[:, None]
        data = self._data if len(self._data) > 1 else self._data[0]
        states, _ = self._pool.rollout(
            self._model, data, self._first, np.repeat(control, steps, axis=1)
        )
        return states[:, -1, 1 : 1 + self._model.nq]


def _state(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """MuJoCo's full state: time first, then positions, velocities and the rest."""
    data, kind = mujoco.MjData(model), mujoco.mjtState.mjSTATE_FULLPHYSICS
    data.qpos[:] = qpos
    state = np.empty(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data, state, kind)
    return state


class NativePictures:
    """Pictures of an environment's worlds by `mujoco.Renderer`, one after the other."""

    # Why this process has no OpenGL, once that is known: to ask MuJoCo again aborts it.
    _no_opengl = ""

    def __init__(self, env: Env, pixels: int, antialiased: bool = True):
        """Opens an OpenGL context, of the kind that the variable MUJOCO_GL names.

        Shadows and reflections are left out, for `Env.render` has none either.

        Args:
          env: whose model and cameras are drawn. pixels: side of the pictures.
          antialiased: with as many samples a pixel as the model asks for, or one.

        Raises:
          RuntimeError: there is no OpenGL to draw with.
        """
        if self._no_opengl:
            raise RuntimeError(self._no_opengl)
        self._model, samples = env.mj_model, env.mj_model.vis.quality.offsamples
        self._data = mujoco.MjData(self._model)
        try:
            self._model.vis.quality.offsamples = samples if antialiased else 0
            self._renderer = mujoco.Renderer(self._model, pixels, pixels)
        except Exception as error:  # whatever the library under it raises
            NativePictures._no_opengl = f"mujoco.Renderer found no OpenGL ({error})"
            raise RuntimeError(self._no_opengl) from error
        finally:
            self._model.vis.quality.offsamples = samples
        for flag in ("SHADOW", "REFLECTION", "SKYBOX", "HAZE"):
            self._renderer.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0

    def render(self, qpos_NxQ: np.ndarray, views: tuple[str, ...]) -> np.ndarray:
        """Pictures (N, V, H, W, 3) uint8 of worlds with these positions of all joints."""
        pictures = []
        for qpos in qpos_NxQ:
            self._data.qpos[:] = qpos
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_camlight(self._model, self._data)
            for view in views:
                self._renderer.update_scene(self._data, view)
                pictures.append(self._renderer.render())
        return np.stack(pictures).reshape(len(qpos_NxQ), len(views), *pictures[0].shape)
