"""Between the stages: the frozen world model gives every transition its latent action."""

import io
import os
import pathlib

import numpy as np

from glam_jax.data.store import Store
from glam_jax.stages.pretrain import WorldModel


def relabel(world_model: WorldModel, store: Store, path: pathlib.Path) -> np.ndarray:
    """z_t of every transition of every source, in the store's order: (n, Z) float32.

    Also written to `path` (.npy), beside and then renamed.

    Raises:
      FloatingPointError: the world model gives latents that are not finite.
      OSError: the file cannot be written.
    """
    latents = world_model.label(store)
    if bad := int((~np.isfinite(latents)).any(axis=1).sum()):
        raise FloatingPointError(
            f"relabelling: {bad} of {len(latents)} transitions got latents that are not finite"
        )
    whole = io.BytesIO()  # writing to a file itself, numpy overlooks a disk that is just full
    np.save(whole, latents, allow_pickle=False)
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(whole.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return latents
