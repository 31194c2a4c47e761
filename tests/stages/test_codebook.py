"""Unused codes of LAPA: counted, and replaced on schedule, they and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from glam_jax.runtime import optim
from glam_jax.stages import codebook

RUN = ConfigDict({"reseed_every": 10, "reseed_until": 0.5, "steps": 60})
CODES = np.array([[1.0, 0.0], [7.0, 7.0], [0.0, 1.0], [8.0, -8.0]], np.float32)
SHARE = jnp.array([0.5, 0.0, 0.5, 0.0])


@pytest.fixture(scope="module")
def amended():
    """(step, share, key) -> amended state and metrics of a state with `CODES`."""
    optimizer = optim.make_optimizer(learning_rate=1e-3, steps=60)
    params = {"params": {"codebook": jnp.asarray(CODES), "idm": {"bias": jnp.arange(3.0)}}}
    state = optim.init_state(params, optimizer)
    # An average of its own, of which replaced rows must not stay.
    state = state.replace(ema=jax.tree.map(lambda leaf: leaf + 0.5, state.ema))
    amend = jax.jit(codebook.make_amend(RUN))

    def amended(step, share=SHARE, key=0):
        metrics = {"loss": jnp.float32(3.0), "code_share": share}
        return amend(state.replace(step=jnp.int32(step)), metrics, jax.random.key(key))

    return amended


def codes_of(params):
    return np.asarray(params["params"]["codebook"])


def test_dead_codes_alone_are_replaced_by_used_ones(amended):
    state, _ = amended(10)
    found, average = codes_of(state.params), codes_of(state.ema)
    np.testing.assert_array_equal(found[[0, 2]], CODES[[0, 2]])
    np.testing.assert_array_equal(average[[0, 2]], CODES[[0, 2]] + 0.5)
    distance = np.linalg.norm(found[[1, 3], None] - CODES[[0, 2]], axis=-1).min(axis=1)
    assert (distance > 0).all() and distance.max() < 0.05
    np.testing.assert_array_equal(average[[1, 3]], found[[1, 3]])
    np.testing.assert_array_equal(state.params["params"]["idm"]["bias"], np.arange(3.0))
    np.testing.assert_array_equal(state.ema["params"]["idm"]["bias"], np.arange(3.0) + 0.5)
    assert int(state.step) == 10


@pytest.mark.parametrize("step, due", [(9, False), (11, False), (30, True), (40, False)])
def test_replacement_keeps_to_its_schedule(amended, step, due):
    state, _ = amended(step)
    assert (codes_of(state.params) != CODES).any() == due
    assert (codes_of(state.ema) != CODES + 0.5).any() == due


def test_with_every_code_in_use_nothing_changes(amended):
    state, metrics = amended(10, jnp.array([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_array_equal(codes_of(state.params), CODES)
    assert float(metrics["dead_codes"]) == 0


def test_replacement_is_a_function_of_the_key(amended):
    first, again, other = (codes_of(amended(10, key=key)[0].params) for key in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first[[1, 3]] != other[[1, 3]]).any()


def test_perplexity_and_dead_codes_are_logged_in_place_of_the_shares(amended):
    _, metrics = amended(3)
    expected = {"loss": 3.0, "code_perplexity": 2.0, "dead_codes": 2.0}
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(expected)
