"""What both stages share: where a run starts, and that it continues from what it saved."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from train_tiny import ResidentFeed, loss, make_state

from glam_jax.data import normalize
from glam_jax.errors import DataError
from glam_jax.stages import training

RUN = {
    "steps": 1, "learning_rate": 0.0, "matrix_learning_rate": 0.0, "warmup_steps": 0,
    "weight_decay": 0.0, "clip": 1.0, "ema_decay": 0.5, "log_every": 1, "evaluate_every": 0,
    "save_every": 0, "steps_per_call": 1, "accumulate": 1,
}  # fmt: skip


def train(folder, steps, stats=(), pretrained=lambda params: params):
    stage = training.Stage(
        "tiny",
        loss=loss,
        feed=ResidentFeed(),
        init=lambda: make_state().params,
        evaluate=lambda step, state: None,
        pretrained=pretrained,
    )
    run, config = ConfigDict(RUN | {"steps": steps}), ConfigDict({"seed": 0})
    return training.train(stage, config, run, stats=dict(stats), metadata={}, directory=folder)


def test_pretrained_weights_are_put_in_where_training_starts_only(tmp_path):
    asked = []

    def pretrained(params):
        asked.append(1)
        return {"dense": {**params["dense"], "bias": jnp.full(8, 7.0)}}

    # The learning rate is 0: what training returns is what it started from.
    for steps in (1, 2):
        found = train(tmp_path, steps, pretrained=pretrained)["dense"]
        np.testing.assert_array_equal(found["bias"], 7.0)
        np.testing.assert_array_equal(found["kernel"], make_state().params["dense"]["kernel"])
    assert len(asked) == 1


def test_it_does_not_continue_with_other_data(tmp_path):
    rng = np.random.default_rng(0)
    stats, others = ({"action": normalize.array_statistics(rng.random((9, 2)))} for _ in range(2))
    train(tmp_path, 1, stats)
    train(tmp_path, 2, stats)
    with pytest.raises(DataError, match=f"{tmp_path} was trained with other data: mean of action"):
        train(tmp_path, 3, others)
