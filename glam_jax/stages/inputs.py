"""Raw batches to what the models see, and the models' answers back to physical units."""

import jax
import jax.numpy as jnp

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
    """What the policy is conditioned on; `is_target` is 1 where the batch does not say."""
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
    return {
        **numbers(batch),
        **observation(batch, stats),
        "label": normalize.normalize_range(batch["latent"], stats["label"]),
        "action": normalize.normalize(batch["action"], stats["action"]),
        "valid": batch["valid"],
    }
