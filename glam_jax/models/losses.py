"""The one place where unreduced loss terms become a scalar."""

import chex
import jax
import jax.numpy as jnp


def reduce_terms(
    terms: dict[str, jax.Array],
    rows: dict[str, str],
    weights: dict[str, float],
    is_target: jax.Array,
    target_share: float | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """sum_k w_k mean over rows of term k; every term is (B,).

    Args:
      terms: unreduced terms. rows: term -> "all" or "target", which rows the mean is over.
      weights: term -> w_k. is_target: (B,) 1 on target rows.
      target_share: where these are some rows of a larger batch, the share of target rows in
        that: the mean of the results over its pieces is then the result of the whole, however
        unevenly target rows fall into pieces. None takes the share of these rows.
    Returns:
      The scalar loss and the mean of every term, unweighted.
    Raises:
      ValueError: the keys of terms, rows and weights differ.
    """
    chex.assert_shape(list(terms.values()), is_target.shape)
    if not set(terms) == set(rows) == set(weights):
        raise ValueError(
            f"loss terms {sorted(terms)}, their rows {sorted(rows)} and "
            f"their weights {sorted(weights)} must have the same names"
        )
    count = None if target_share is None else target_share * len(is_target)
    total, means = 0.0, {}
    for name, term in terms.items():
        means[name] = masked_mean(term, is_target, count) if rows[name] == "target" else term.mean()
        total = total + weights[name] * means[name]
    return total, means


def masked_mean(value: jax.Array, mask: jax.Array, count: float | None = None) -> jax.Array:
    """Mean of `value` where `mask` is 1; exactly zero, gradient included, where it is 0.

    With no row selected the mean is 0, not NaN. `count` is what the sum is divided by, where it
    is not the number of selected rows.
    """
    selected = jnp.where(mask > 0, value, 0.0)
    return selected.sum() / (jnp.maximum((mask > 0).sum(), 1) if count is None else count)
