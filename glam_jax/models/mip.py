"""MIP, the two-step regression policy, and the latent policy built on it; SPEC section 3."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models import draws
from glam_jax.models.augment import random_colours, random_shading, random_shift
from glam_jax.models.cpu import mish
from glam_jax.models.losses import masked_mean
from glam_jax.models.modules import ActionDecoder
from glam_jax.models.vision import TwoViewEncoder

# t* of the second step: how much of the answer the second network call is given.
T_STAR = 0.9

TERM_ROWS = {"first": "all", "second": "all", "action": "target"}


class MipNetwork(nn.Module):
    """f(a, t, c): chunk (B, K, D), time, condition (B, N) -> chunk (B, K, D).

    `layers` Linear layers of `width` with LayerNorm and Mish, each but the first and the last
    one x + Linear(Mish(LayerNorm(x))) that starts as the identity. A chunk is nearly linear in
    the pose of the hand; without the linear way through, ten layers spend most of the training
    on finding it. Time is embedded as sin and cos of t * linspace(0, 100, 64).
    """

    layers: int
    width: int

    @nn.compact
    def __call__(self, chunk_BxKxD, t: float, condition_BxN):
        b, k, d = chunk_BxKxD.shape
        angle = t * jnp.linspace(0.0, 100.0, 64)
        time = jnp.broadcast_to(jnp.concatenate([jnp.sin(angle), jnp.cos(angle)]), (b, 128))
        x = jnp.concatenate([chunk_BxKxD.reshape(b, k * d), time, condition_BxN], axis=-1)
        x = nn.Dense(self.width)(x)
        for _ in range(self.layers - 2):
            r = mish(nn.LayerNorm()(x))
            x = x + nn.Dense(self.width, kernel_init=nn.initializers.zeros)(r)
        return nn.Dense(k * d)(x).reshape(b, k, d)


class MipPolicy(nn.Module):
    """Observation -> chunk of labels -> chunk of robot actions.

    Labels are latents in [-1, 1] decoded by h_a, or, with `decodes=False` (the MIP baseline),
    the robot actions themselves.

    Attributes:
      chunk: K. label_dim: Z, or A for the baseline. proprio: "ee_pose" or "joints".
      pose_noise: deviation of the noise added in training to the normalised pose that the
        policy is told, so that it also looks where the hand is.
      shift_pixels, shading, colour_jitter: of the images in training, see `vision.random_shift`,
        `vision.random_shading` and `vision.random_colours`.
      encoder, view_size, dinov2_*: of the views, see `vision.TwoViewEncoder`.
    """

    chunk: int
    label_dim: int
    action_dim: int
    decodes: bool
    proprio: str
    channels: Sequence[int]
    features: int
    hidden: int
    condition: int
    layers: int
    width: int
    decoder_layers: int
    shift_pixels: int
    shading: float
    colour_jitter: float
    pose_noise: float
    encoder: str = "conv"
    view_size: int = 0
    dinov2_offset: float = 0.1
    dinov2_dtype: str = "float32"
    dinov2_remat: bool = False

    def setup(self):
        if self.proprio not in ("ee_pose", "joints"):
            raise ValueError(f"policy.proprio is {self.proprio!r}; expected ee_pose or joints")
        self.vision = TwoViewEncoder(
            self.channels,
            self.features,
            self.hidden,
            self.condition,
            encoder=self.encoder,
            view_size=self.view_size,
            dinov2_offset=self.dinov2_offset,
            dinov2_dtype=self.dinov2_dtype,
            dinov2_remat=self.dinov2_remat,
        )
        self.network = MipNetwork(self.layers, self.width)
        if self.decodes:
            self.action_decoder = ActionDecoder(self.decoder_layers, self.width, self.action_dim)

    def condition_on(self, observation: dict) -> jax.Array:
        """c_t: visual features with the proprioceptive state appended, (B, N).

        With `proprio="joints"` the auxiliary rows, which have no joints, are zeros and flagged.
        """
        visual = self.vision(observation["image"])
        if self.proprio == "ee_pose":
            return jnp.concatenate([visual, observation["ee_pose"]], axis=-1)
        known = observation["is_target"][:, None]
        return jnp.concatenate([visual, observation["proprio"] * known, known], axis=-1)

    def decode(self, labels: jax.Array) -> jax.Array:
        """h_a: (..., Z) -> normalised actions (..., A); the identity for the baseline."""
        return self.action_decoder(labels) if self.decodes else labels

    def act(self, observation: dict) -> jax.Array:
        """Normalised action chunk (B, K, A): h_a(f(f(0, 0, c), t*, c)).

        Predicted labels are clipped to [-1, 1], the range of the demonstrations: away from
        them the network extrapolates, and the arm would be thrown about.
        """
        condition = self.condition_on(observation)
        zero = jnp.zeros((condition.shape[0], self.chunk, self.label_dim))
        first = jnp.clip(self.network(zero, 0.0, condition), -1.0, 1.0)
        second = jnp.clip(self.network(first, T_STAR, condition), -1.0, 1.0)
        return self.decode(second)

    def loss(self, batch: dict, key: jax.Array) -> tuple[dict, dict]:
        """Unreduced terms, each (B,): the two regressions on labels, and decoded actions.

        first  = f(0, 0, c),  second = f(a + (1 - t*) e, t*, c),  e ~ N(0, I);
        0.1 [ ((first - a) / t*)^2 + ((second - a) / (1 - t*))^2 ] summed over dimensions, mean
        over the chunk's real transitions; and the squared error of h_a of both predictions
        against the robot's actions, likewise.
        """
        key_shift, key_shading, key_colours, key_noise, key_pose = jax.random.split(key, 5)
        label = batch["label"]
        row_B = draws.row_numbers(batch, len(label))
        image = random_shift(batch["image"], self.shift_pixels, key_shift, row_B)
        image = random_shading(image, self.shading, key_shading, row_B)
        image = random_colours(image, self.colour_jitter, key_colours, row_B)
        blur = self.pose_noise * draws.normal(key_pose, row_B, batch["ee_pose"].shape[1:])
        condition = self.condition_on({**batch, "image": image, "ee_pose": batch["ee_pose"] + blur})
        first = self.network(jnp.zeros_like(label), 0.0, condition)
        noise = draws.normal(key_noise, row_B, label.shape[1:])
        second = self.network(label + (1.0 - T_STAR) * noise, T_STAR, condition)

        def per_row(error_BxKxD, valid_BxK):
            return jax.vmap(masked_mean)((error_BxKxD**2).sum(axis=-1), valid_BxK)

        terms = {
            "first": 0.1 * per_row((first - label) / T_STAR, batch["valid"]),
            "second": 0.1 * per_row((second - label) / (1.0 - T_STAR), batch["valid"]),
            "action": jnp.zeros(label.shape[0]),
        }
        if self.decodes:
            terms["action"] = sum(
                per_row(self.decode(guess) - batch["action"], batch["valid"])
                for guess in (first, second)
            )
        return terms, {}
