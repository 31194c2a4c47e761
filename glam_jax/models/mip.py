"""MIP, the two-step regression policy, and the latent policy built on it, docs/equations.md."""

from typing import ClassVar

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from glam_jax.models import draws
from glam_jax.models.augment import Augmentation
from glam_jax.models.cpu import mish
from glam_jax.models.losses import masked_mean
from glam_jax.models.modules import ActionDecoder
from glam_jax.models.vision import ViewsEncoder

# t* of the second step: how much of the answer the second network call is given.
T_STAR = 0.9


class MipNetwork(nn.Module):
    """f(a, t, c): chunk of labels (B, K, D), time, condition (B, N) -> chunk (B, K, D).

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

    What the policy predicts of a transition is its label, in [-1, 1]: the latent z_t, which h_a
    decodes to a robot action; or, without h_a (the MIP baseline), the robot action itself.

    Attributes:
      vision: the visual part of c. network: f. action_decoder: h_a, or None.
      augmentation: of observations in training.
      chunk: K. label_dim: D, the dimensions of a label.
      proprio: what c says of the robot, "ee_pose" or "joints".
    """

    # Every term of the loss and the rows it is a mean over: "all" or "target".
    term_rows: ClassVar[dict[str, str]] = {"first": "all", "second": "all", "action": "target"}

    vision: ViewsEncoder
    network: MipNetwork
    action_decoder: ActionDecoder | None
    augmentation: Augmentation
    chunk: int
    label_dim: int
    proprio: str = "ee_pose"

    @property
    def decodes(self) -> bool:
        """Whether labels are latents, which h_a decodes."""
        return self.action_decoder is not None

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
        """h_a: (..., D) -> standardised actions (..., A); without h_a labels, as they are.

        `units.robot_action` brings either to physical units.
        """
        return self.action_decoder(labels) if self.decodes else labels

    def act(self, observation: dict) -> jax.Array:
        """Chunk of actions (B, K, A) as `decode` gives them: h_a(f(f(0, 0, c), t*, c)).

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

        With the chunk a of labels and e ~ N(0, I),
          first  = f(0, 0, c),  second = f(a + (1 - t*) e, t*, c);
          0.1 [ ((first - a) / t*)^2 + ((second - a) / (1 - t*))^2 ],
        summed over dimensions, mean over the chunk's real transitions; and likewise the squared
        errors of the actions that h_a decodes from first and from second, which are 0 without h_a.
        """
        *image_keys, key_noise, key_pose = jax.random.split(key, 5)
        label, action, valid = batch["label"], batch["action"], batch["valid"]
        chex.assert_shape(label, (None, self.chunk, self.label_dim))
        chex.assert_equal_shape_prefix([label, action, valid], 2)
        row_B = draws.row_numbers(batch, len(label))
        seen = {
            **batch,
            "image": self.augmentation.images(batch["image"], image_keys, row_B),
            "ee_pose": self.augmentation.pose(batch["ee_pose"], key_pose, row_B),
        }
        condition = self.condition_on(seen)
        first = self.network(jnp.zeros_like(label), 0.0, condition)
        noise = draws.normal(key_noise, row_B, label.shape[1:])
        second = self.network(label + (1.0 - T_STAR) * noise, T_STAR, condition)

        def per_row(error_BxKxD: jax.Array) -> jax.Array:
            return jax.vmap(masked_mean)((error_BxKxD**2).sum(axis=-1), valid)

        terms = {
            "first": 0.1 * per_row((first - label) / T_STAR),
            "second": 0.1 * per_row((second - label) / (1.0 - T_STAR)),
            "action": jnp.zeros(len(label)),
        }
        if self.decodes:
            terms["action"] = sum(per_row(self.decode(x) - action) for x in (first, second))
        return terms, {}
