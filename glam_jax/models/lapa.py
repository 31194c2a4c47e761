"""LAPA and LAPA-O: a vector-quantised latent action.

Trained on both sources to explain what is seen and nothing else: no robot action enters stage 1,
and h_a of stage 2 learns them from the codes. LAPA-O is the same model with masks of the
manipulated objects in place of RGB.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models import draws
from glam_jax.models.modules import PointPosterior
from glam_jax.models.world_model import LatentActionModel, over_time

# Spread of the codes at the start: about that of the first answers of an inverse dynamics model.
CODE_SPREAD = 0.3
# Distance between a re-seeded code and the one it was copied from, as a share of the size of the
# codes: enough for each to get a side of the transitions that the one had.
RESEED_SPREAD = 0.01
# Below it the length of a difference has no direction to differentiate.
TINY = 1e-12


class Lapa(LatentActionModel, kw_only=True):
    """World model whose latent is a row of `codes` vectors out of one codebook.

    The inverse dynamics model's d dimensions are split into m parts of d / m, each replaced by
    the nearest e_k of K: in training with NSVQ's noise in place of the difference, in labels
    by e_k itself.

    Attributes, besides those of every world model:
      codes: m. codebook_size: K.
    """

    term_rows = {"image": "all", "forward_y": "all", "forward_ee": "all"}

    codes: int
    codebook_size: int

    def setup(self):
        super().setup()
        sizes = self.sizes
        self.idm = PointPosterior(sizes.posterior_blocks, sizes.width, sizes.latent)
        shape = (self.codebook_size, sizes.latent // self.codes)
        self.codebook = self.param("codebook", nn.initializers.normal(CODE_SPREAD), shape)

    def label(self, batch) -> jax.Array:
        """The m hard codes of every transition side by side, (B, T-1, Z)."""
        parts = self.parts(self.infer(self.encode(batch["image"]), batch))
        codes = self.codebook[nearest(parts, self.codebook)]
        return codes.reshape(*codes.shape[:2], self.sizes.latent)

    def parts(self, z_BxTxZ: jax.Array) -> jax.Array:
        """(B, T-1, Z) -> (B, T-1, m, Z / m)."""
        return z_BxTxZ.reshape(*z_BxTxZ.shape[:2], self.codes, -1)

    def loss(self, batch: dict, key: jax.Array) -> tuple[dict, dict]:
        """Reconstruction of images and next states; see `LatentActionModel.loss`.

        The metric `code_share` (B, K) is the share of the row's m (T-1) parts that took each
        code.
        """
        key_code, key_image = jax.random.split(key)
        y_BxTxY = self.encode(batch["image"])
        y, y_next = y_BxTxY[:, :-1], y_BxTxY[:, 1:]
        parts = self.parts(self.infer(y_BxTxY, batch))
        index_BxTxM = nearest(parts, self.codebook)
        row_B = draws.row_numbers(batch, len(parts))
        noise = draws.normal(key_code, row_B, parts.shape[1:])
        quantised = nsvq(parts, self.codebook[index_BxTxM], noise)
        z = quantised.reshape(*parts.shape[:2], self.sizes.latent)
        terms = self.forward_terms(y, y_next, batch, z)
        share = jax.nn.one_hot(index_BxTxM, self.codebook_size).mean(axis=2)
        metrics = self.copy_baseline(y, y_next, batch) | {"code_share": share}
        image = self.image_term(batch, y_BxTxY, key_image)
        return {"image": image, **over_time(terms)}, over_time(metrics)


def nearest(part: jax.Array, codebook_KxD: jax.Array) -> jax.Array:
    """Index of the code nearest to each part, (..., D) -> int (...)."""
    difference = part[..., None, :] - codebook_KxD
    return jnp.argmin(jnp.sum(difference**2, axis=-1), axis=-1)


def nsvq(part: jax.Array, code: jax.Array, noise: jax.Array) -> jax.Array:
    """Noise substitution (Vali and Bäckström, 2022): all (..., D).

    q = d + (norm(d - e_k) / norm(v)) v: as far from the part as its code is, in the direction
    of the noise v ~ N(0, I). Unlike e_k it has a gradient to both the part and the code.
    """
    return part + length(part - code) / length(noise) * noise


def length(x: jax.Array) -> jax.Array:
    """Euclidean norm over the last axis, kept; its gradient at 0 is 0."""
    return jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True) + TINY)


def perplexity(share_K: jax.Array) -> jax.Array:
    """exp of the entropy of the codes' shares: how many are in even use, 1 to K."""
    return jnp.exp(jax.scipy.special.entr(share_K).sum())


def reseeds(codebook_KxD: jax.Array, share_K: jax.Array, key: jax.Array) -> jax.Array:
    """K codes to put in place of unused ones, (K, D): near used ones, the most used first.

    Each is drawn with probability `share_K`, so that crowded codes are the ones to be split.
    """
    key_source, key_spread = jax.random.split(key)
    source = jax.random.categorical(key_source, jnp.log(share_K), shape=share_K.shape)
    size = jnp.sqrt(jnp.sum(share_K[:, None] * codebook_KxD**2) / codebook_KxD.shape[1])
    offset = jax.random.normal(key_spread, codebook_KxD.shape)
    return codebook_KxD[source] + RESEED_SPREAD * size * offset
