"""MuJoCo's other engines on the models of the environments, to measure against: `mjx.step` as it
is, and MJX-Warp. Both hold their controls from given states on."""

from collections.abc import Callable

import jax
import mujoco
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
