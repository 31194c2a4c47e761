"""What both stages share: optimizer, checkpoints, metrics and the loop, from one config section."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax
from etils import epath
from ml_collections import ConfigDict

from glam_jax.data import normalize
from glam_jax.runtime import checkpoint, hosts, loop, optim
from glam_jax.runtime.metrics import MetricWriter


def make_step(
    run: ConfigDict,
    *,
    loss: loop.Loss,
    feed: loop.Feed,
    amend: loop.Amend | None = None,
) -> tuple[loop.TrainStep, optax.GradientTransformation]:
    """(train step, optimizer) of a stage, from its section `run` of the config.

    `loss`, `feed` and `amend` are as in `loop.make_train_step`.
    """
    optimizer = optim.make_optimizer(
        learning_rate=run.learning_rate,
        matrix_learning_rate=run.matrix_learning_rate,
        steps=run.steps,
        warmup_steps=run.warmup_steps,
        weight_decay=run.weight_decay,
        clip=run.clip,
    )
    step = loop.make_train_step(
        loss, feed.assemble, optimizer, run.ema_decay, amend, run.accumulate
    )
    return step, optimizer


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage trains.

    Attributes:
      name: what progress bars and errors call it.
      loss, feed, amend: see `loop.make_train_step`.
      init: makes the initial parameters.
      evaluate: hook on held-out episodes, every `run.evaluate_every` steps.
      pretrained: puts what was trained before into the initial parameters; called where training
        starts, not where it continues.
    """

    name: str
    loss: loop.Loss
    feed: loop.Feed
    init: Callable[[], Any]
    evaluate: loop.Hook
    amend: loop.Amend | None = None
    pretrained: Callable[[Any], Any] = lambda params: params


def train(
    stage: Stage,
    config: ConfigDict,
    run: ConfigDict,
    *,
    stats: dict,
    metadata: dict,
    directory: epath.Path,
) -> Any:
    """Trains one stage to its end, continuing from the stage's folder; returns the averaged
    parameters.

    Args:
      config: the resolved config of the run, saved with each checkpoint.
      run: the stage's section of it.
      stats: normalisation statistics, which the loss takes; saved with each checkpoint, as is
        `metadata`.
      directory: the stage's folder: checkpoints and metrics.
    Raises:
      DataError: the stage began with other data or labels. Else see `loop.fit`.
    """
    feed = stage.feed
    step, optimizer = make_step(run, loss=stage.loss, feed=feed, amend=stage.amend)

    def start(prepare=lambda params: params):
        return optim.init_state(prepare(stage.init()), optimizer)

    metadata = {"config": config.to_dict(), **metadata}
    with checkpoint.Checkpoints(directory, statistics=stats, metadata=metadata) as checkpoints:
        state = checkpoints.restore_latest(jax.eval_shape(start)) or start(stage.pretrained)
        normalize.check_same(checkpoints.restored_statistics, stats, str(directory))
        with contextlib.ExitStack() as stack:
            metrics = None
            if hosts.is_leader():
                metrics = stack.enter_context(MetricWriter(directory, int(state.step)))
            state = loop.fit(
                state,
                step,
                feed,
                loop.constants_of(config.seed, stats),
                steps=run.steps,
                name=stage.name,
                hooks=[(run.evaluate_every, stage.evaluate)],
                checkpoints=checkpoints,
                save_every=run.save_every,
                writer=metrics,
                log_every=run.log_every,
                steps_per_call=run.steps_per_call,
            )
    return state.ema
