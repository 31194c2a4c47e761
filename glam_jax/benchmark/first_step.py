"""A process that ends after the first training step: what `startup` times.

    python -m glam_jax.benchmark.first_step pretrain standard 64

prints the loss of the first update, of the stage "pretrain" or "clone".
"""

import sys

import jax

from glam_jax.benchmark import training


def main(stage: str, scale: str, batch: str) -> None:
    """Builds a stage and takes its first step, alone as the training loop's first."""
    config = training.config_of(scale, stage, int(batch))
    config[stage].steps_per_call = 1
    metrics = training.trainer(stage, config)()
    print(jax.device_get(metrics["loss"])[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
