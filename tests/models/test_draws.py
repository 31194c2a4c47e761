"""Noise of rows, which must not depend on how a batch is cut into pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.models import draws

KEY = jax.random.key(0)


def test_pieces_have_the_noise_of_the_whole():
    draw = jax.jit(lambda row_B: draws.normal(KEY, row_B, (3, 2)))
    whole = draw(jnp.arange(8))
    pieces = [draw(jnp.arange(at, at + 4)) for at in (0, 4)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert len(np.unique(whole)) == whole.size and abs(float(whole.mean())) < 0.5


def weights(size, start, stop, key=KEY):
    """What each row from start to stop counts for in a sum over all rows."""
    index, weight, _ = draws.one_of_every(size, key, jnp.arange(start, stop))
    return np.asarray(jnp.zeros(stop - start).at[index].add(weight, mode="drop"))


@pytest.mark.parametrize("cut", [4, 2, 3, 1])
def test_one_row_of_every_run_is_drawn_wherever_the_batch_is_cut(cut):
    whole = weights(4, 0, 12)
    assert set(whole) == {0.0, 4.0} and (whole.reshape(3, 4).sum(axis=1) == 4).all()
    pieces = [weights(4, at, at + cut) for at in range(0, 12, cut)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_every_row_is_drawn_as_often():
    draw = jax.jit(jax.vmap(lambda key: draws.one_of_every(3, key, jnp.arange(7))[:2]))
    index, weight = draw(jax.random.split(KEY, 2000))
    total = np.zeros(8)
    np.add.at(total, np.asarray(index), np.asarray(weight))
    np.testing.assert_allclose(total[:7] / 2000, 1.0, atol=0.15)  # the run 6, 7, 8 is cut


def test_a_run_of_one_row_draws_all():
    np.testing.assert_array_equal(weights(1, 3, 8), np.ones(5))
