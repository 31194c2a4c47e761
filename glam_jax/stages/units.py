"""Raw batches to what the models see, and the policy's answers back to physical units."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.data import normalize
from glam_jax.data.normalize import Statistics


def windows(batch: dict, stats: Statistics) -> dict[str, jax.Array]:
    """A window batch (`schema.window_batch_shapes`), normalised, with its one-step differences.

    Adds `ee_step` (B, T-1, E) and `proprio_step` (B, T-1, S): x_t+1 - x_t in units of that
    difference's own standard deviation, of order 1 where the normalised poses differ by
    hundredths; times `ee_step_scale` (E,) or `proprio_step_scale` (S,) they are differences of
    the normalised values, in which errors are measured. Auxiliary rows keep zeros in all that
    only a target has.
    """
    chex.assert_rank([batch["image"], batch["ee_pose"], batch["action"]], [6, 3, 3])
    target = batch["is_target"][:, None, None]
    ee, proprio = stats["ee_pose"], stats["proprio"]
    return numbers(batch) | {
        "image": batch["image"],
        "is_target": batch["is_target"],
        "ee_pose": normalize.normalize(batch["ee_pose"], ee),
        "ee_step": jnp.diff(batch["ee_pose"], axis=1) / ee["diff_std"],
        "ee_step_scale": ee["diff_std"] / ee["std"],
        "proprio": normalize.normalize(batch["proprio"], proprio) * target,
        "proprio_step": jnp.diff(batch["proprio"], axis=1) / proprio["diff_std"] * target,
        "proprio_step_scale": proprio["diff_std"] / proprio["std"],
        "action": normalize.normalize(batch["action"], stats["action"]) * target,
    }


def numbers(batch: dict) -> dict[str, jax.Array]:
    """The rows' numbers, where the batch has them: those in order, without noise, have none."""
    return {name: batch[name] for name in ("row",) if name in batch}


def observation(batch: dict, stats: Statistics) -> dict[str, jax.Array]:
    """What the policy is conditioned on; `is_target` is 1 where the batch does not say.

    image (B, V, H, W, 3) uint8, ee_pose (B, E), proprio (B, S) where there is one.
    """
    chex.assert_rank([batch["image"], batch["ee_pose"]], [5, 2])
    seen = {
        "image": batch["image"],
        "ee_pose": normalize.normalize(batch["ee_pose"], stats["ee_pose"]),
        "is_target": batch.get("is_target", jnp.ones(len(batch["ee_pose"]))),
    }
    if "proprio" in batch:
        seen["proprio"] = normalize.normalize(batch["proprio"], stats["proprio"])
    return seen


def chunks(batch: dict, stats: Statistics) -> dict[str, jax.Array]:
    """A chunk batch (`schema.chunk_batch_shapes`), normalised; labels are mapped to [-1, 1]."""
    chex.assert_rank([batch["label"], batch["action"], batch["valid"]], [3, 3, 2])
    return {
        **numbers(batch),
        **observation(batch, stats),
        "label": normalize.normalize_range(batch["label"], stats["label"]),
        "action": normalize.normalize(batch["action"], stats["action"]),
        "valid": batch["valid"],
    }


def label_statistics(labels: np.ndarray, stats: Statistics, latent: bool) -> Statistics:
    """The statistics of stage 2: those of the data, and of its labels (n, D) under `label`.

    `latent`: whether labels are latents, of which those that say nothing stay small, or actions.
    """
    return {**stats, "label": normalize.array_statistics(labels, normalize.FLOOR * latent)}


def robot_action(answer: jax.Array, stats: Statistics, decoded: bool) -> jax.Array:
    """The policy's answer (..., A) in rad and gripper command, within the demonstrated range.

    Here, and nowhere else, actions are clipped by us.

    Args:
      answer: an action that h_a decoded, which gives it as stage 1 scales actions; or MIP's
        label, which is an action as `chunks` scales labels.
      stats: of stage 2. decoded: which of the two.
    """
    shown = stats["action"]
    if decoded:
        action = normalize.unnormalize(answer, shown)
    else:
        action = normalize.unnormalize_range(answer, stats["label"])
    return jnp.clip(action, shown["min"], shown["max"])
