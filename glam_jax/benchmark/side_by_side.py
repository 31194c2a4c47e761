"""Ours and other libraries' by turns: training in PyTorch, pictures and physics of MuJoCo; and the
pipeline beside the trainer that it feeds.

A pair does the same work in the same process; docs/performance.md says what is alike and what was
tuned. Libraries that are missing cost their rows alone.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np

from glam_jax.benchmark import engines, samples, simulation, training
from glam_jax.benchmark.case import Case, Sizes, Unavailable, Work
from glam_jax.data import feeds
from glam_jax.sim.env import Env, EnvState

# How many times as fast as the rival; see docs/performance.md. (Backend, stage, rival) of training.
RIVALS = ("torch eager", "torch.compile")
TRAINING_BARS = {("cpu", stage, rival): 1.5 for stage in training.STAGES for rival in RIVALS}
TRAINING_BARS["gpu", "pretrain", "torch.compile"] = 5.0
RENDERING_BAR, PIPELINE_BAR = 2.0, 5.0
FLAT_BAR = 1 / 1.15  # most that a transition may cost of many episodes, over that of few
FEW, MANY = 100, 10_000  # episodes
# Frames of each: of masks for stage 1, and of three times as large pictures for stage 2.
EPISODE_FRAMES = {"pretrain": 33, "clone": 9}
MODALITIES = {"pretrain": "mask", "clone": "rgb"}
BENCH = "needs PyTorch: pip install -e '.[bench]'"


def cases(sizes: Sizes) -> Iterator[Case]:
    """Training at the standard scale, pictures, physics, and the pipeline."""
    batches = sizes.batches["standard"] or sizes.batches["paper"]
    for stage, batch in itertools.product(training.STAGES, batches):
        updates = _config(stage, batch, looped=True)[stage].steps_per_call
        for rival in RIVALS:
            make = functools.partial(_torch, stage, batch, rival)
            yield _training(stage, batch, rival, make, updates)
    for rival in ("mujoco.Renderer", "mujoco.Renderer without antialiasing"):
        yield _pictures(sizes, rival)
    yield from _physics(sizes)
    for stage, batch in itertools.product(training.STAGES, batches[-1:]):
        for kind in ("resident", "streamed"):
            name = f"side_by_side/{stage} batches {kind}, {batch} rows/trainer"
            make = functools.partial(_pipeline, stage, batch, kind == "resident")
            yield Case(name, "row", batch, make)
        make = functools.partial(_growth, stage, batch)
        rival = f"{MANY} episodes/{FEW} episodes"
        yield _training(stage, batch, rival, make)


def _training(
    stage: str, batch: int, rival: str, make: Callable[[], Work], updates: int = 1
) -> Case:
    group, unit = training.STAGES[stage]
    return Case(f"side_by_side/{group} batch {batch}/{rival}", unit, batch * updates, make)


@functools.lru_cache(maxsize=1)
def _ours(stage: str, batch: int, looped: bool = False) -> training.Trainer:
    return training.trainer(stage, _config(stage, batch, looped), made_up=True)


def _config(stage: str, batch: int, looped: bool = False):
    """The standard scale's; one update a call, as the pipeline feeds it, unless `looped`."""
    config = training.config_of("standard", stage, batch)
    if not looped:
        config[stage].steps_per_call = 1
    return config


def _torch(stage: str, batch: int, kind: str) -> Work:
    """So many updates a call, of both, as our training loop dispatches at once."""
    try:
        from glam_jax.benchmark import torch_training

        torch_training.device()
    except (ImportError, RuntimeError) as error:
        raise Unavailable(f"{BENCH} ({error})") from error
    ours = _ours(stage, batch, looped=True)
    config = _config(stage, batch, looped=True)
    theirs = torch_training.make(stage, config, jax.device_get(ours.state.params))
    losses = theirs.compiled() if kind == "torch.compile" else None

    def run(updates: int = ours.updates) -> torch_training.Queued:
        for _ in range(updates):
            theirs.update(losses)
        return torch_training.Queued()

    try:
        run(1)
    except Exception as error:  # the compiler's own, of many kinds
        if kind != "torch.compile":
            raise
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise Unavailable(f"torch.compile failed: {why[0][:200]}") from error
    bar = TRAINING_BARS.get((jax.default_backend(), stage, kind))
    return Work(ours, warm_up=2, rival=run, bar=bar)


def _pictures(sizes: Sizes, rival: str) -> Case:
    task, count = sizes.tasks[0], sizes.worlds[0]

    def make() -> Work:
        env = simulation.env_of(task)
        qpos = np.asarray(simulation.starts(env, count).data.qpos)
        try:
            theirs = engines.NativePictures(env, env.layout.image_size, rival == "mujoco.Renderer")
        except RuntimeError as error:
            raise Unavailable(
                f"needs OpenGL: MUJOCO_GL=osmesa and libosmesa6, for instance ({error})"
            ) from error
        work = simulation.rendered(task, env.layout.image_size, count)
        bar = RENDERING_BAR if rival == "mujoco.Renderer" else None
        beside = functools.partial(theirs.render, qpos, env.layout.views)
        return Work(work.run, warm_up=2, rival=beside, bar=bar)

    name = f"side_by_side/render 64 px, {count} worlds/{rival}"
    return Case(name, "image", count * len(simulation.env_of(task).layout.views), make)


def _physics(sizes: Sizes) -> Iterator[Case]:
    task, count = sizes.tasks[0], sizes.worlds[0]
    for rival in _ENGINES:
        make = functools.partial(_simulated, task, count, rival)
        name = f"side_by_side/physics of one arm, {count} worlds/{rival}"
        yield Case(name, "step", count * simulation.STEPS, make)


def _native(env: Env, state: EnvState, steps: int) -> Callable[[], np.ndarray]:
    simulated = engines.NativeWorlds(env, np.asarray(state.data.qpos))
    return lambda: simulated.run(np.asarray(state.data.ctrl), steps)


_ENGINES = {
    "C MuJoCo": _native, "mjx.step": engines.mjx_steps, "MJX-Warp": engines.warp_steps,
}  # fmt: skip


def _simulated(task: str, count: int, engine: str) -> Work:
    env = simulation.env_of(task)
    try:
        theirs = _ENGINES[engine](env, simulation.starts(env, count), simulation.STEPS)
    except ImportError as error:
        raise Unavailable(f"needs Warp: pip install 'mujoco-mjx[warp]' ({error})") from error
    return Work(simulation.by_mjx(task, count).run, warm_up=2, rival=theirs)


def _pipeline(stage: str, batch: int, resident: bool) -> Work:
    batches = training.fed(stage, "resident" if resident else "streamed", batch)
    return Work(batches.run, warm_up=2, rival=_ours(stage, batch), bar=PIPELINE_BAR)


def _growth(stage: str, batch: int) -> Work:
    """Training from streamed data: batch by batch gathered on the host, and a step on each."""
    config = _config(stage, batch)
    feeds = [_feed(stage, config, count) for count in (MANY, FEW)]
    trainer = training.trainer(stage, config, made_up=True, feed=feeds[0])
    steps = itertools.count()

    def train(feed: feeds.Feed):
        trainer.fetched = jax.device_put(feed.fetch(next(steps)))
        return trainer()

    many, few = (functools.partial(train, feed) for feed in feeds)
    return Work(many, warm_up=2, rival=few, bar=FLAT_BAR)


def _feed(stage: str, config, episodes: int) -> feeds.Feed:
    frames = EPISODE_FRAMES[stage]
    store = samples.many(config.image_size, frames, episodes, MODALITIES[stage])
    return training.feed_of(stage, config, resident=False, data=store)
