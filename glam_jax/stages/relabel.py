"""Between the stages: the frozen world model gives every transition its latent action."""

import io

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.data.store import Store
from glam_jax.stages.world_model import WorldModel


def relabel(world_model: WorldModel, store: Store, path: epath.Path) -> np.ndarray:
    """z_t of every transition of every source, in the store's order: (n, Z) float32.

    Also written to `path` (.npy).

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
    files.write_bytes(path, whole.getvalue())
    return latents


def read(path: epath.PathLike) -> np.ndarray:
    """The latents that `relabel` wrote."""
    return np.load(io.BytesIO(files.read_bytes(path)), allow_pickle=False)
