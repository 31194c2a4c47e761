"""Images of any size to the schema's squares."""

import numpy as np
from PIL import Image

from glam_jax.errors import DataError


def check(images: np.ndarray) -> None:
    """Raises DataError for what is not uint8 (T, H, W, 3)."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(f"found {images.dtype} {images.shape}, expected uint8 (T, H, W, 3)")


def square(images: np.ndarray, side: int, fit: str) -> np.ndarray:
    """Images (T, H, W, 3) uint8 -> (T, side, side, 3) uint8, smoothed where they shrink.

    Args:
      images: uint8; other types and channel counts are refused.
      side: pixels.
      fit: `crop` cuts the middle square, `pad` adds black bars, `stretch` changes the aspect.

    Raises:
      DataError: see `check`.
    """
    check(images)
    return _resized(_square(images, fit), side, Image.Resampling.BILINEAR)


def square_masks(masks: np.ndarray, side: int, fit: str) -> np.ndarray:
    """Masks (T, H, W) or (T, H, W, 1) of any type -> (T, side, side, 1), uint8 of 0 and 1.

    A pixel is 1 if at least half of what it covers is above 0.
    """
    if masks.ndim == 3:
        masks = masks[..., None]
    if masks.ndim != 4 or masks.shape[-1] != 1:
        raise ValueError(f"found {masks.dtype} {masks.shape}, expected (T, H, W, 1)")
    grey = _square((masks > 0).astype(np.uint8) * 255, fit)[..., 0]
    return (_resized(grey, side, Image.Resampling.BOX) >= 128).astype(np.uint8)[..., None]


def _square(images: np.ndarray, fit: str) -> np.ndarray:
    height, width = images.shape[1:3]
    if fit == "stretch" or height == width:
        return images
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return images[:, top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.zeros((len(images), side, side, images.shape[-1]), np.uint8)
    padded[:, top : top + height, left : left + width] = images
    return padded


def _resized(images: np.ndarray, side: int, how: Image.Resampling) -> np.ndarray:
    if images.shape[1:3] == (side, side):
        return images
    return np.stack([np.asarray(Image.fromarray(i).resize((side, side), how)) for i in images])
