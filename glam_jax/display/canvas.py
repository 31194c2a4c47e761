"""Pictures put together from images: grids, frames and captions, all uint8 (H, W, 3)."""

import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

from glam_jax import files

GREEN, RED, GREY = (40, 170, 60), (200, 50, 40), (120, 120, 120)
BACKGROUND = 24


def tile(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images (N, H, W, 3) side by side in rows of `columns`, as one image.

    The last row is filled up with background.

    Raises:
      ValueError: for no images, another shape or type, or no columns.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images) or images.dtype != np.uint8:
        raise ValueError(
            f"tile: found {images.dtype} {images.shape}; expected uint8 (at least 1, H, W, 3)"
        )
    if columns < 1:
        raise ValueError(f"tile: columns is {columns}; expected at least 1")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1:3]
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    picture = np.full(shape, BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture


def outline(image: np.ndarray, colour: tuple[int, int, int], thickness: int = 3) -> np.ndarray:
    """The image with a coloured frame painted over its edge."""
    framed = np.full_like(image, colour)
    inner = slice(thickness, -thickness)
    framed[inner, inner] = image[inner, inner]
    return framed


def caption(image: np.ndarray, text: str, colour: tuple[int, int, int] = GREY) -> np.ndarray:
    """The image with a line of white text, as small as it must be, on a coloured bar above it."""
    size = max(10, image.shape[1] // 20)
    bar = Image.new("RGB", (image.shape[1], size + 6), colour)
    font = ImageFont.load_default(size)
    if (wide := font.getlength(text)) > image.shape[1] - 8:
        font = ImageFont.load_default(max(6.0, size * (image.shape[1] - 8) / wide))
    ImageDraw.Draw(bar).text((4, 2), text, fill=(255, 255, 255), font=font)
    return np.concatenate([np.asarray(bar, np.uint8), image])


def enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """The image (H, W, 3) at size x size pixels, without smoothing."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST))


def save_png(path: epath.PathLike, image: np.ndarray) -> epath.Path:
    """Writes a PNG; makes the folder; returns the path."""
    with files.beside(path) as new:
        Image.fromarray(image).save(new, format="PNG")
    return files.path(path)
