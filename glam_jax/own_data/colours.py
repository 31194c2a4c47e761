"""The colour of a manipulated object, as ranges of hue, saturation and value."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from matplotlib.colors import rgb_to_hsv

from glam_jax.errors import did_you_mean

ALL_HUES = (0.0, 360.0)
ALL = (0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Colour:
    """Which pixels may be on an object, and how large it may be in a picture.

    Of a pixel with largest and smallest channel M and m in [0, 1]: value is M, saturation is
    (M - m) / M, and hue is the angle on the circle red 0, green 120, blue 240. Grey has hue 0, so
    a range around red needs a lowest saturation. Bounds belong to the range.

    Attributes:
      hue: from and to, degrees in [0, 360]; (340, 20) goes through 0.
      saturation, value: lowest and highest, in [0, 1].
      area: smallest and largest share of the picture that is one object, in (0, 1]; smaller
        specks and larger areas of its colour are not it.
    """

    hue: tuple[float, float] = ALL_HUES
    saturation: tuple[float, float] = ALL
    value: tuple[float, float] = ALL
    area: tuple[float, float] = (0.001, 0.5)

    def matches(self, image: np.ndarray) -> np.ndarray:
        """The pixels (H, W) bool of an image (H, W, 3) uint8 that have the colour."""
        red, green, blue = (image[..., i] for i in range(3))
        highest = np.maximum(np.maximum(red, green), blue).astype(np.float32)
        spread = highest - np.minimum(np.minimum(red, green), blue)
        found = (highest >= 255 * self.value[0]) & (highest <= 255 * self.value[1])
        found &= (spread >= self.saturation[0] * highest) & (spread <= self.saturation[1] * highest)
        if self.hue != ALL_HUES and found.any():  # of few pixels, for it is slow
            hue = 360 * rgb_to_hsv(image[found] / 255)[:, 0]
            low, high = self.hue
            inside = (hue >= low, hue <= high)
            found[found] = inside[0] & inside[1] if low <= high else inside[0] | inside[1]
        return found


def read(place: str, values: Mapping) -> dict[str, Colour]:
    """The colours of a view's objects, by name, from their section of the config.

    Args:
      place: what to call the section in messages. values: object -> its ranges.

    Raises:
      ValueError: an unknown key (names the nearest), bounds outside their range, the lower one
        above the upper one, or no range of colour at all.
    """
    known = [field.name for field in dataclasses.fields(Colour)]
    if values and not isinstance(values, Mapping):
        raise ValueError(f"{place} is {values!r}, expected objects with their ranges")
    colours = {}
    for name, ranges in (values or {}).items():
        if not isinstance(ranges, Mapping):
            raise ValueError(f"{place}.{name} is {ranges!r}, expected ranges of {', '.join(known)}")
        for key in ranges:
            if key not in known:
                hint = did_you_mean(key, known) or f", expected {', '.join(known)}"
                raise ValueError(f"{place}.{name}.{key}: no such key{hint}")
        made = Colour(**{key: _pair(f"{place}.{name}.{key}", v) for key, v in ranges.items()})
        if (made.hue, made.saturation, made.value) == (ALL_HUES, ALL, ALL):
            raise ValueError(f"{place}.{name} has no range of hue, saturation or value")
        _check(f"{place}.{name}", made)
        colours[name] = made
    return colours


def _pair(place: str, values) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{place} is {values!r}, expected two numbers, from and to") from None
    return low, high


def _check(place: str, colour: Colour) -> None:
    for key, (low, high) in dataclasses.asdict(colour).items():
        highest = 360.0 if key == "hue" else 1.0
        if not (0 <= low <= highest and 0 <= high <= highest):
            unit = " degrees" if key == "hue" else ""
            raise ValueError(f"{place}.{key} is {(low, high)}, expected 0 to {highest:g}{unit}")
        if low > high and key != "hue":
            raise ValueError(f"{place}.{key} is {(low, high)}: the lower bound is above the upper")
    if not colour.area[0] > 0:
        raise ValueError(f"{place}.area is {colour.area}: the smallest area must be above 0")
