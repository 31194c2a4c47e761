"""The parts of a latent-action world model: the table of docs/equations.md, row by row.

Every world model is assembled from these. All vectors are normalised (see `normalize`):
end-effector poses over all sources, proprioception and actions over the target.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from glam_jax.models import draws
from glam_jax.models.layers import MLP, ResMLP

# Bounds of a posterior's log variance: exp(-12/2) is far below any useful noise, and a
# posterior wider than the prior means nothing.
LOG_VARIANCE_RANGE = (-12.0, 2.0)


@struct.dataclass
class Gaussian:
    """A diagonal Gaussian: mean and log variance, each (..., Z)."""

    mean: jax.Array
    log_variance: jax.Array

    def sample(self, key: jax.Array, row_B: jax.Array) -> jax.Array:
        """Reparameterised sample, mean + exp(log_variance / 2) * e with e ~ N(0, I).

        The first axis is the batch's rows, of numbers `row_B`, by which e is keyed (`draws`).
        """
        noise = draws.normal(key, row_B, self.mean.shape[1:])
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def stopped(self) -> "Gaussian":
        """The same distribution, through which no gradient flows."""
        return jax.tree.map(jax.lax.stop_gradient, self)


def kl_divergence(q: Gaussian, p: Gaussian) -> jax.Array:
    """KL(q, p) of diagonal Gaussians in nats, summed over Z: (..., Z), (..., Z) -> (...).

    1/2 sum_i [ log(vp_i / vq_i) + (vq_i + (mq_i - mp_i)^2) / vp_i - 1 ].
    """
    log_ratio = p.log_variance - q.log_variance
    scaled = jnp.exp(-log_ratio) + (q.mean - p.mean) ** 2 * jnp.exp(-p.log_variance)
    return 0.5 * jnp.sum(log_ratio + scaled - 1.0, axis=-1)


def kl_to_standard_normal(q: Gaussian) -> jax.Array:
    """KL(q, N(0, I)) in nats, summed over Z."""
    zero = jnp.zeros_like(q.mean)
    return kl_divergence(q, Gaussian(zero, zero))


class Posterior(nn.Module):
    """Residual MLP with a Gaussian head: (..., D) -> Gaussian in R^Z (q_phi and q_eta)."""

    blocks: int
    width: int
    latent: int

    @nn.compact
    def __call__(self, *inputs) -> Gaussian:
        h = ResMLP(self.blocks, self.width)(jnp.concatenate(inputs, axis=-1))
        mean = nn.Dense(self.latent)(h)
        # Start narrow, so that the first gradients through the sample are not all noise.
        log_variance = nn.Dense(self.latent, bias_init=nn.initializers.constant(-3.0))(h)
        return Gaussian(mean, jnp.clip(log_variance, *LOG_VARIANCE_RANGE))


class PointPosterior(nn.Module):
    """Residual MLP with a Linear head: (..., D) -> one latent (..., Z), without noise."""

    blocks: int
    width: int
    latent: int

    @nn.compact
    def __call__(self, *inputs) -> jax.Array:
        h = ResMLP(self.blocks, self.width)(jnp.concatenate(inputs, axis=-1))
        return nn.Dense(self.latent)(h)


class ForwardModel(nn.Module):
    """p_theta(x_t+1 given x_t, z_t): residual of y (..., Y) and of the pose (..., E).

    The pose head predicts (x^e_t+1 - x^e_t) in units of that difference's own standard
    deviation, the y head y_t+1 - y_t.
    """

    blocks: int
    width: int

    @nn.compact
    def __call__(self, y, ee_pose, z) -> tuple[jax.Array, jax.Array]:
        h = ResMLP(self.blocks, self.width)(jnp.concatenate([y, ee_pose, z], axis=-1))
        return nn.Dense(y.shape[-1])(h), nn.Dense(ee_pose.shape[-1])(h)


class ProprioForward(nn.Module):
    """p_theta(s_t+1 given s_t, z_t): residual of s (..., S), in units of its own deviation."""

    blocks: int
    width: int

    @nn.compact
    def __call__(self, proprio, z) -> jax.Array:
        h = ResMLP(self.blocks, self.width)(jnp.concatenate([proprio, z], axis=-1))
        return nn.Dense(proprio.shape[-1])(h)


class ActionDecoder(nn.Module):
    """p_theta(a_t given z_t), and stage 2's h_a: (..., Z) -> (..., A)."""

    layers: int
    width: int
    action_dim: int

    @nn.compact
    def __call__(self, z) -> jax.Array:
        return MLP(self.layers, self.width, self.action_dim)(z)
