"""Images of any form and size to the schema's squares."""

import dataclasses
import io

import numpy as np
from PIL import Image

from glam_jax.errors import DataError, first_line

_ENCODINGS = ("PNG", "JPEG", "WEBP")
FITS = ("crop", "pad", "stretch")
COLOURS = ("rgb", "bgr", "grey")
FLIPS = ("", "vertical", "horizontal")
TURNS = (0, 90, 180, 270)
# How far numbers may lie outside of their range, as a share of it: resizing overshoots.
_BEYOND = 0.01


@dataclasses.dataclass(frozen=True)
class ImageForm:
    """How the images of a view are stored, and what makes them upright, in this order.

    Attributes:
      low, high: the numbers of black and white, such as 0 and 1; 0 and 255 for uint8.
      channels: last, (H, W, C); or first, (C, H, W).
      colours: rgb, bgr or grey, which may be without a channel. A fourth channel is left out.
      crop: top, left, height and width of the box that is used, in pixels; () uses all.
      flip: "" or vertical, of pictures upside down that are mirrored too, as OpenGL has them; or
        horizontal.
      turn: degrees by which the picture is turned counter-clockwise: 0, 90, 180 or 270.
    """

    low: float = 0.0
    high: float = 255.0
    channels: str = "last"
    colours: str = "rgb"
    crop: tuple[int, ...] = ()
    flip: str = ""
    turn: int = 0

    def check(self) -> None:
        """Raises ValueError for values that cannot be."""
        known = {"channels": ("last", "first"), "colours": COLOURS, "flip": FLIPS, "turn": TURNS}
        for key, choices in known.items():
            if (value := getattr(self, key)) not in choices:
                raise ValueError(f"{key} is {value!r}, expected {' or '.join(map(repr, choices))}")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g}, expected less than high, {self.high:g}")
        if self.crop and (len(self.crop) != 4 or min(self.crop) < 0 or min(self.crop[2:]) < 1):
            raise ValueError(f"crop is {self.crop}, expected (top, left, height, width) or ()")

    def picture(self, stored: np.ndarray) -> np.ndarray:
        """A stored image, upright: (H, W, 3) uint8.

        Raises:
          DataError: another shape or type, or numbers outside `low` to `high`.
        """
        image = np.asarray(stored)
        if self.channels == "first" and image.ndim == 3:
            image = np.moveaxis(image, 0, -1)
        if self.colours == "grey" and image.ndim == 2:
            image = image[..., None]
        wanted = (1,) if self.colours == "grey" else (3, 4)
        if image.ndim != 3 or image.shape[-1] not in wanted:
            order = "(C, H, W)" if self.channels == "first" else "(H, W, C)"
            raise DataError(
                f"found {image.dtype} {np.shape(stored)}, expected {order} with C = {wanted[0]}; "
                "image_forms says how images are stored"
            )
        image = self.placed(self._as_bytes(image)[..., :3])
        if self.colours == "bgr":
            image = image[..., ::-1]
        return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))

    def placed(self, image: np.ndarray) -> np.ndarray:
        """An image or mask (H, W, ...), cropped, flipped and turned."""
        if self.crop:
            top, left, height, width = self.crop
            if top + height > image.shape[0] or left + width > image.shape[1]:
                raise DataError(f"crop {self.crop} leaves the image of {image.shape[:2]} pixels")
            image = image[top : top + height, left : left + width]
        if self.flip:
            image = np.flip(image, axis=0 if self.flip == "vertical" else 1)
        return np.rot90(image, self.turn // 90)

    def _as_bytes(self, image: np.ndarray) -> np.ndarray:
        """uint8, black 0 and white 255."""
        if image.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return image
        if image.dtype.kind not in "fiub":
            raise DataError(f"found {image.dtype}, expected numbers")
        if not np.isfinite(image).all():
            raise DataError("found numbers that are not finite")
        least, most, spread = image.min(), image.max(), self.high - self.low
        guess = image.dtype.kind == "f" and self.high == 255.0 and most <= 1.0
        if guess or least < self.low - _BEYOND * spread or most > self.high + _BEYOND * spread:
            raise DataError(
                f"found {image.dtype} from {least:.3g} to {most:.3g}, expected {self.low:g} to "
                f"{self.high:g}; low and high of image_forms are the numbers of black and white"
            )
        scaled = (image.astype(np.float32) - self.low) * (255.0 / spread)
        return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def decoded(data: bytes, place: str) -> np.ndarray:
    """The picture (H, W, 3) uint8 of a PNG, JPEG or WebP file's bytes.

    Raises:
      DataError: it is none, or of depth; begins with `place`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_ENCODINGS) as picture:
            if picture.mode.startswith(("I", "F")):
                raise ValueError(f"mode {picture.mode} is of depth, expected colours")
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{place}: not readable as a picture ({first_line(error)})") from error


def square(image: np.ndarray, side: int, fit: str) -> np.ndarray:
    """An image (H, W, 3) uint8 -> (side, side, 3) uint8, smoothed where it shrinks.

    Args:
      image: uint8. side: pixels.
      fit: `crop` cuts the middle square, `pad` adds black bars, `stretch` changes the aspect.
    """
    return _resized(_square(image, fit), side, Image.Resampling.BILINEAR)


def square_mask(mask: np.ndarray, side: int, fit: str) -> np.ndarray:
    """A mask (H, W) bool -> (side, side, 1), uint8 of 0 and 1.

    A pixel is 1 if at least half of what it covers is on the objects.
    """
    grey = _square(mask.astype(np.uint8) * 255, fit)
    return (_resized(grey, side, Image.Resampling.BOX) >= 128).astype(np.uint8)[..., None]


def _square(image: np.ndarray, fit: str) -> np.ndarray:
    height, width = image.shape[:2]
    if fit == "stretch" or height == width:
        return image
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return image[top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.zeros((side, side, *image.shape[2:]), np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded


def _resized(image: np.ndarray, side: int, how: Image.Resampling) -> np.ndarray:
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((side, side), how))
