"""Pictures put together from images: grids, frames and captions, all uint8 (H, W, 3)."""

import chex
import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

from glam_jax import files

GREEN, RED, GREY = (40, 170, 60), (200, 50, 40), (120, 120, 120)
BACKGROUND, GAP, OUTLINE = 24, 2, 3  # grey between images, pixels between them and of a frame


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (N, H, W, 3) uint8 side by side in rows of `columns`, as one image.

    The last row is filled up with background.
    """
    chex.assert_shape(images, (None, None, None, 3))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    fill = ((0, rows * columns - len(images)), (0, GAP), (0, GAP), (0, 0))
    padded = np.pad(images, fill, constant_values=BACKGROUND)
    grid = padded.reshape(rows, columns, *padded.shape[1:]).swapaxes(1, 2)
    return grid.reshape(rows * padded.shape[1], -1, 3)[:-GAP, :-GAP]


def outline(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The image with a coloured frame painted over its edge."""
    framed = np.full_like(image, colour)
    inner = slice(OUTLINE, -OUTLINE)
    framed[inner, inner] = image[inner, inner]
    return framed


def caption(image: np.ndarray, text: str, colour: tuple[int, int, int] = GREY) -> np.ndarray:
    """The image with a line of white text, as small as it must be, on a coloured bar above it."""
    size = max(10, image.shape[1] // 20)
    bar = Image.new("RGB", (image.shape[1], size + 6), colour)
    # One by one: a text's length does not grow evenly with the size of its letters.
    fonts = [ImageFont.load_default(size) for size in range(size, 5, -1)]
    fitting = (font for font in fonts if font.getlength(text) <= image.shape[1] - 8)
    font = next(fitting, fonts[-1])
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
