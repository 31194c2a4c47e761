"""C MuJoCo on the models of the environments: many worlds at once, and pictures by OpenGL."""

import os

import mujoco
import mujoco.rollout
import numpy as np

from glam_jax.sim.env import Env


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class NativeWorlds:
    """N worlds of an environment's model in C MuJoCo, by `mujoco.rollout`.

    What `Env` does besides physics, such as delays of a stand-in for a real robot, is left out.
    """

    def __init__(self, env: Env, qpos_NxQ: np.ndarray, threads: int | None = None):
        """Places the worlds.

        Args:
          env: whose model, physics settings included, is simulated.
          qpos_NxQ: positions of all joints at the start (N, Q), rad and m; velocities are 0.
          threads: as many worlds run at the same time; None: one for each usable core.

        Raises:
          ValueError: `qpos_NxQ` has another shape.
        """
        model = env.mj_model
        if qpos_NxQ.ndim != 2 or qpos_NxQ.shape[1] != model.nq:
            raise ValueError(f"qpos: found shape {qpos_NxQ.shape}, expected (N, {model.nq})")
        self._model, threads = model, threads or usable_cores()
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
