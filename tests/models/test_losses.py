import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.models import losses


def test_weighted_sum_of_means_over_the_rows_that_count():
    terms = {"a": jnp.array([1.0, 3.0]), "b": jnp.array([5.0, 100.0])}
    rows, weights = {"a": "all", "b": "target"}, {"a": 2.0, "b": 0.5}
    total, means = losses.reduce_terms(terms, rows, weights, jnp.array([1.0, 0.0]))
    assert (float(means["a"]), float(means["b"])) == (2.0, 5.0)
    assert float(total) == 2 * 2.0 + 0.5 * 5.0


def test_names_must_agree():
    with pytest.raises(ValueError, match="'a'.*'b'"):
        losses.reduce_terms({"a": jnp.ones(1)}, {"b": "all"}, {"a": 1.0}, jnp.ones(1))


def test_masked_mean_ignores_even_infinities_and_has_no_gradient_there():
    value, mask = jnp.array([2.0, jnp.inf]), jnp.array([1.0, 0.0])
    assert float(losses.masked_mean(value, mask)) == 2.0
    gradient = jax.grad(lambda v: losses.masked_mean(v, mask))(jnp.array([2.0, 7.0]))
    np.testing.assert_array_equal(gradient, [1.0, 0.0])
    assert float(losses.masked_mean(value, jnp.zeros(2))) == 0.0


def test_terms_that_are_not_one_number_a_row_are_refused():
    one = {"a": 1.0}
    with pytest.raises(AssertionError, match="shape"):
        losses.reduce_terms({"a": jnp.ones((2, 2))}, {"a": "target"}, one, jnp.ones(2))
