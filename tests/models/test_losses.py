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


def test_terms_of_target_rows_alone_are_put_back_where_they_belong():
    # Of every 8 rows 3 are target rows: a piece of 4 has at most 2, and this one has 1.
    whole, piece = np.isin(np.arange(8), [1, 4, 6]), jnp.array([0.0, 1.0, 0.0, 0.0])
    rows = losses.target_indices(piece, whole)
    np.testing.assert_array_equal(rows, [1, 4])
    values = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(losses.chosen(values, rows)[0], [2.0])
    found = losses.put_back(jnp.array([5.0, jnp.inf]), rows, 4)
    np.testing.assert_array_equal(found, [0.0, 5.0, 0.0, 0.0])
    np.testing.assert_array_equal(losses.chosen(values, slice(None)), values)


def test_masked_mean_ignores_even_infinities_and_has_no_gradient_there():
    value, mask = jnp.array([2.0, jnp.inf]), jnp.array([1.0, 0.0])
    assert float(losses.masked_mean(value, mask)) == 2.0
    gradient = jax.grad(lambda v: losses.masked_mean(v, mask))(jnp.array([2.0, 7.0]))
    np.testing.assert_array_equal(gradient, [1.0, 0.0])
    assert float(losses.masked_mean(value, jnp.zeros(2))) == 0.0
