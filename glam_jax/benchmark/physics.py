"""Physics: steps of one and two arms, by MJX in JAX and by C MuJoCo.

The worlds hold the posture that they start from. C MuJoCo pays for the contacts that there are,
MJX for those that there could be, so that the comparison is at its best for C MuJoCo.
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from glam_jax.benchmark import cost, worlds
from glam_jax.benchmark.case import Case, Sizes, Work
from glam_jax.benchmark.native import NativeWorlds
from glam_jax.sim.env import simulation_options
from glam_jax.sim.scenes import SUBSTEPS

CONTROL_STEPS = 10  # of a call


def cases(sizes: Sizes) -> Iterator[Case]:
    """Both engines on every task and number of worlds."""
    for task in sizes.tasks:
        arms = worlds.env_of(task).layout.arms
        for engine, make in (("mjx", mjx_steps), ("mujoco", native)):
            for count in sizes.worlds:
                name = f"physics/{engine}/{arms} {'arm' if arms == 1 else 'arms'}/{count} worlds"
                steps = count * CONTROL_STEPS * SUBSTEPS
                yield Case(name, "step", steps, functools.partial(make, task, count))


def mjx_steps(task: str, count: int) -> Work:
    """The environment's own control steps."""
    env = worlds.env_of(task)
    state = worlds.starts(env, count)
    action = worlds.held(env, state)

    def simulate(state, action):
        def step(state, _):
            return jax.vmap(env.step)(state, action), None

        return jax.lax.scan(step, state, length=CONTROL_STEPS)[0]

    call = jax.jit(simulate, compiler_options=simulation_options())
    return Work(lambda: call(state, action), cost.count(call, state, action), warm_up=2)


def native(task: str, count: int) -> Work:
    """C MuJoCo on all cores."""
    env = worlds.env_of(task)
    data = worlds.starts(env, count).data
    simulated, ctrl = NativeWorlds(env, np.asarray(data.qpos)), np.asarray(data.ctrl)
    return Work(lambda: simulated.run(ctrl, CONTROL_STEPS * SUBSTEPS))
