"""The simulation alone: pictures of all cameras, and physics by MJX in JAX and by C MuJoCo.

The worlds hold the posture that they start from. C MuJoCo pays for the contacts that there are,
MJX for those that there could be, so that the comparison is at its best for C MuJoCo.
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from glam_jax.benchmark import cost
from glam_jax.benchmark.case import Case, Sizes, Work
from glam_jax.benchmark.engines import NativeWorlds
from glam_jax.sim import env as simulation
from glam_jax.sim.env import Env, EnvState, simulation_options
from glam_jax.sim.render import visible_geoms
from glam_jax.sim.scenes import SUBSTEPS

ROBOT = "kinova"  # the clean one: what is drawn and stepped is the same in every world
CONTROL_STEPS = 10  # of a call
STEPS = CONTROL_STEPS * SUBSTEPS  # of physics in a call


def env_of(task: str, pixels: int = 64) -> Env:
    """The environment of a task with the arm that is measured."""
    return simulation.make_env(task, ROBOT, pixels)


@functools.lru_cache(maxsize=4)
def starts(env: Env, worlds: int) -> EnvState:
    """The states of so many starts, seeds from 0 on, arrays (N, ...)."""
    keys = jax.vmap(jax.random.key)(np.arange(worlds, dtype=np.uint32))
    return jax.jit(jax.vmap(env.reset), compiler_options=simulation_options())(keys)


def renderings(sizes: Sizes) -> Iterator[Case]:
    """One axis at a time, from the first task at 64 pixels (or the first size) in the first number
    of worlds."""
    base = 64 if 64 in sizes.pixels else sizes.pixels[0]
    first, fewest = sizes.tasks[0], sizes.worlds[0]
    points = [(first, pixels, fewest) for pixels in sizes.pixels]
    points += [(first, base, count) for count in sizes.worlds]
    points += [(task, base, fewest) for task in sizes.tasks]
    for task, pixels, count in dict.fromkeys(points):
        env = env_of(task)
        geoms = len(visible_geoms(env.mj_model))
        name = f"render/{pixels} px/{count} worlds/{geoms} geoms"
        make = functools.partial(rendered, task, pixels, count)
        yield Case(name, "image", count * len(env.layout.views), make)


def rendered(task: str, pixels: int, count: int) -> Work:
    """All cameras of so many worlds at their starts."""
    env = env_of(task, pixels)
    state = starts(env_of(task), count)
    sight = jax.vmap(env.sight)(state)
    render = jax.jit(jax.vmap(env.render), compiler_options=simulation_options())
    return Work(lambda: render(sight), cost.count(render, sight), warm_up=2)


def physics(sizes: Sizes) -> Iterator[Case]:
    """Both engines on every task, of one and of two arms, and number of worlds."""
    for task in sizes.tasks:
        arms = env_of(task).layout.arms
        for engine, make in (("mjx", by_mjx), ("mujoco", _by_mujoco)):
            for count in sizes.worlds:
                name = f"physics/{engine}/{arms} {'arm' if arms == 1 else 'arms'}/{count} worlds"
                yield Case(name, "step", count * STEPS, functools.partial(make, task, count))


def by_mjx(task: str, count: int) -> Work:
    """The environment's own control steps."""
    env = env_of(task)
    state = starts(env, count)
    action = jax.vmap(env.proprio)(state)  # holds the posture

    def simulate(state, action):
        def step(state, _):
            return jax.vmap(env.step)(state, action), None

        return jax.lax.scan(step, state, length=CONTROL_STEPS)[0]

    call = jax.jit(simulate, compiler_options=simulation_options())
    return Work(lambda: call(state, action), cost.count(call, state, action), warm_up=2)


def _by_mujoco(task: str, count: int) -> Work:
    """C MuJoCo on all cores."""
    env = env_of(task)
    data = starts(env, count).data
    simulated, ctrl = NativeWorlds(env, np.asarray(data.qpos)), np.asarray(data.ctrl)
    return Work(lambda: simulated.run(ctrl, STEPS))
