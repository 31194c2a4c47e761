"""How far apart two sets of latents lie, where a whole episode is one observation.

The transitions of an episode are not independent: there are as many observations as episodes,
however many transitions each has. So permutations move whole episodes from one set to the other,
cross-validation leaves out whole episodes, and distances are never taken within one.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special, stats
from scipy.spatial import distance

from glam_jax.errors import DataError

# Transitions of an episode that are compared, evenly spread: neighbours hardly differ.
PER_EPISODE = 64
# Of the classifier: ridge penalty on standardised features, and Newton steps at most.
RIDGE, NEWTON_STEPS = 1.0, 12
FOLDS = 5  # of the classifier's cross-validation


def energy_test(
    one: Sequence[np.ndarray], other: Sequence[np.ndarray], permutations: int = 999, seed: int = 0
) -> tuple[float, float]:
    """Energy distance of two sets of episodes, with a permutation test over whole episodes.

    With D_ij the mean distance between transitions of the episodes i and j, the energy distance
    is E = 2 mean D_ij (i of one set, j of the other) - mean D_ij (i != j of the first) - mean
    D_ij (i != j of the second), and the coefficient E / (2 mean D_ij), the first mean. Without
    the pairs i = j, E is 0 in expectation, not only in the limit, if both sets are alike; it may
    be a little below. G. J. Szekely and M. L. Rizzo, "Energy statistics", 2013. The p value is
    (1 + permutations that reach E) / (1 + permutations).

    Args:
      one, other: episodes of latents, each (T_i, Z).
      permutations: random divisions of all episodes into two sets of the given sizes.
      seed: of these.

    Returns:
      The coefficient: 0 for equal distributions, 1 for two points; about its expectation however
      many episodes there are, so a bound on it is a bound on how different the sets are. And the
      p value of the hypothesis that episodes of both sets are drawn from one distribution. It
      shrinks with the number of episodes for any real difference, harmless or not.

    Raises:
      DataError: fewer than two episodes in a set.
    """
    _check(one, other)
    between = _episode_distances([*one, *other])
    first = np.zeros((permutations + 1, len(between)))
    first[:, : len(one)] = 1.0
    rng = np.random.default_rng(seed)
    first[1:] = rng.permuted(first[1:], axis=1)
    energy, cross = _energy(between, first)
    # A permutation that changes nothing differs in the last bits.
    reached = np.sum(energy[1:] >= energy[0] - 1e-12 * cross[0])
    coefficient = energy[0] / max(2.0 * cross[0], np.finfo(float).tiny)
    return float(coefficient), float((1 + reached) / (1 + permutations))


def separability(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """How well a classifier tells from one latent which set it is of: the area under the ROC.

    Logistic regression on 1, z_i and z_i z_j, fitted by Newton's method with a ridge, so that
    Gaussians of any mean and covariance are told apart as well as they can be. Tested on
    episodes that it was not fitted on; the mean over `FOLDS` divisions, or as many as the smaller
    set has episodes. 0.5 is chance.

    Args:
      one, other: episodes of latents, each (T_i, Z), scaled to about unit variance.

    Raises:
      DataError: as `energy_test`.
    """
    _check(one, other)
    folds, rng = min(FOLDS, len(one), len(other)), np.random.default_rng(0)
    fold = np.concatenate([rng.permutation(len(group)) % folds for group in (one, other)])
    episodes = [thin(z) for z in (*one, *other)]
    rows = np.repeat(np.arange(len(episodes)), [len(z) for z in episodes])
    features, label = _quadratic(np.concatenate(episodes)), (rows < len(one)).astype(float)
    areas = []
    for held in range(folds):
        test = fold[rows] == held
        scale = features[~test].std(axis=0) + 1e-9
        centre = features[~test].mean(axis=0)
        x = np.column_stack([(features - centre) / scale, np.ones(len(features))])
        weights = _fit(x[~test], label[~test])
        areas.append(_area(x[test] @ weights, label[test] > 0))
    return float(np.mean(areas))


def thin(z_TxZ: np.ndarray) -> np.ndarray:
    """At most `PER_EPISODE` rows of an episode, evenly spread, in float64."""
    rows = np.linspace(0, len(z_TxZ) - 1, min(len(z_TxZ), PER_EPISODE)).round().astype(int)
    return np.asarray(z_TxZ, np.float64)[rows]


def _check(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> None:
    if min(len(one), len(other)) < 2:
        raise DataError(
            f"{len(one)} and {len(other)} held-out episodes; 2 of each source are needed, by "
            "data.heldout_episodes"
        )


def _episode_distances(episodes: list[np.ndarray]) -> np.ndarray:
    """D (M, M): mean distance between the transitions of two episodes, 0 on the diagonal."""
    thinned = [thin(z) for z in episodes]
    together = np.concatenate(thinned)
    lengths = np.array([len(z) for z in thinned])
    starts = np.cumsum(lengths) - lengths
    rows = [distance.cdist(z, together).mean(axis=0) for z in thinned]
    between = np.add.reduceat(np.stack(rows), starts, axis=1) / lengths
    np.fill_diagonal(between, 0.0)
    return between


def _energy(between: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy distance (P,) and mean distance across (P,) of P divisions, `first` (P, M) 0 or 1."""
    second = 1.0 - first
    m, n = first[0].sum(), second[0].sum()
    to_first, to_second = first @ between, second @ between
    cross = (to_first * second).sum(axis=1) / (m * n)
    within = (to_first * first).sum(axis=1) / (m * (m - 1))
    within_other = (to_second * second).sum(axis=1) / (n * (n - 1))
    return 2.0 * cross - within - within_other, cross


def _quadratic(z_NxZ: np.ndarray) -> np.ndarray:
    """z_i and z_i z_j for i <= j."""
    i, j = np.triu_indices(z_NxZ.shape[1])
    return np.column_stack([z_NxZ, z_NxZ[:, i] * z_NxZ[:, j]])


def _fit(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression with a ridge on all but the last one, the constant."""
    penalty = np.full(x.shape[1], RIDGE)
    penalty[-1] = 1e-6
    weights = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = special.expit(x @ weights)
        slope = x.T @ (label - chance) - penalty * weights
        curvature = (x * (chance * (1.0 - chance))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        longest = np.abs(step).max()
        # Far latents would send the first steps far off.
        weights += step * min(1.0, 10.0 / (longest + 1e-12))
        if longest < 1e-4:
            break
    return weights


def _area(score: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs of a positive and a negative whose scores are in order, ties half."""
    ranks, count = stats.rankdata(score), positive.sum()
    below = ranks[positive].sum() - count * (count + 1) / 2.0
    return float(below / (count * (len(score) - count)))
