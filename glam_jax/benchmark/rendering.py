"""Rendering: pictures of all cameras, against resolution, number of worlds and geoms."""

import functools
from collections.abc import Iterator

import jax

from glam_jax.benchmark import cost, worlds
from glam_jax.benchmark.case import Case, Sizes, Work
from glam_jax.sim.env import simulation_options
from glam_jax.sim.render import visible_geoms


def cases(sizes: Sizes) -> Iterator[Case]:
    """One axis at a time, from the first task at 64 pixels (or the first size) in the first number
    of worlds."""
    base = 64 if 64 in sizes.pixels else sizes.pixels[0]
    first, fewest = sizes.tasks[0], sizes.worlds[0]
    points = [(first, pixels, fewest) for pixels in sizes.pixels]
    points += [(first, base, count) for count in sizes.worlds]
    points += [(task, base, fewest) for task in sizes.tasks]
    for task, pixels, count in dict.fromkeys(points):
        env = worlds.env_of(task)
        geoms = len(visible_geoms(env.mj_model))
        name = f"render/{pixels} px/{count} worlds/{geoms} geoms"
        make = functools.partial(work, task, pixels, count)
        yield Case(name, "image", count * len(env.layout.views), make)


def work(task: str, pixels: int, count: int) -> Work:
    """All cameras of so many worlds at their starts."""
    env = worlds.env_of(task, pixels)
    state = worlds.starts(worlds.env_of(task), count)
    sight = jax.vmap(env.sight)(state)
    render = jax.jit(jax.vmap(env.render), compiler_options=simulation_options())
    return Work(lambda: render(sight), cost.count(render, sight), warm_up=2)
