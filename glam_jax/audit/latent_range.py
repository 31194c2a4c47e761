"""Where in latent space a decoder was trained."""

import dataclasses

import chex
import numpy as np

# Added to the covariance: a dimension that no action uses would make every distance infinite.
RIDGE = 1e-6


@dataclasses.dataclass(frozen=True)
class LatentRange:
    """The ellipsoid that holds a given share of a decoder's training inputs.

    Attributes:
      mean: (Z,). factor: (Z, Z), lower triangular, factor factor^T is their covariance.
      limit: largest Mahalanobis distance inside.
    """

    mean: np.ndarray
    factor: np.ndarray
    limit: float

    @classmethod
    def of(cls, z_NxZ: np.ndarray, quantile: float) -> "LatentRange":
        """The range of training inputs (N, Z); `limit` is that quantile of their own distances.

        Raises:
          ValueError: a row that is not finite, or not more rows than dimensions.
        """
        z = np.asarray(z_NxZ, np.float64)
        chex.assert_rank(z, 2)
        if len(z) <= z.shape[1] or not np.isfinite(z).all():
            raise ValueError(
                f"latent range: found {len(z)} latents of {z.shape[1]} dimensions; expected more "
                "latents than dimensions, all of finite numbers"
            )
        covariance = np.cov(z, rowvar=False).reshape(z.shape[1], z.shape[1])
        factor = np.linalg.cholesky(covariance + RIDGE * np.eye(z.shape[1]))
        unbounded = cls(z.mean(axis=0), factor, np.inf)
        limit = float(np.quantile(unbounded.distance(z), quantile))
        return dataclasses.replace(unbounded, limit=limit)

    def whiten(self, z_NxZ: np.ndarray) -> np.ndarray:
        """factor^-1 (z - mean): zero mean and unit covariance on the training inputs, (N, Z)."""
        z = np.asarray(z_NxZ, np.float64)
        return np.linalg.solve(self.factor, (z - self.mean).T).T

    def distance(self, z_NxZ: np.ndarray) -> np.ndarray:
        """Mahalanobis distances (N,) from the training inputs' mean."""
        return np.linalg.norm(self.whiten(z_NxZ), axis=1)

    def share_inside(self, z_NxZ: np.ndarray) -> float:
        """Share of latents within the limit."""
        return float(np.mean(self.distance(z_NxZ) <= self.limit))
