"""A folder of frames for a segmenter, and of the masks that it makes of them.

    FOLDER/<split>/<episode, 6 digits>/<view>/<step, 6 digits>.jpg     frames
    FOLDER/<split>/<episode, 6 digits>/<view>/<step, 6 digits>.png     masks

Episodes count from 0 within their split, steps from 0 within their episode, as recorded. A mask
has the size of its frame, and any number above 0 on the objects.
"""

import io
from collections.abc import Mapping

import numpy as np
from etils import epath
from PIL import Image

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data.images import check as check_images

_QUALITY = 95  # of JPEG


def view_folder(root: epath.PathLike, split: str, episode: int, view: str) -> epath.Path:
    """Where the frames or masks of one view of an episode lie."""
    return files.path(root) / split / f"{episode:06d}" / view


def check_masks(roots: Mapping[str, str], split: str, episodes: range) -> None:
    """Raises DataError unless there are folders of masks of all episodes.

    Args:
      roots: view -> folder of its masks, "" where it has none. split, episodes: which ones.
    """
    for view, root in roots.items():
        if not root or not episodes:
            continue
        if not (top := files.path(root)).is_dir():
            raise DataError(f"{top}: no such folder, expected masks of the {view} view")
        for folder in (view_folder(root, split, episode, view) for episode in episodes):
            if not folder.is_dir():
                raise DataError(
                    f"{folder}: no such folder, expected masks of episodes {episodes[0]} to "
                    f"{episodes[-1]} of {split!r}, as of glam_jax.own_data frames"
                )


def read_masks(folder: epath.Path, count: int, size: tuple[int, int]) -> np.ndarray:
    """The masks of one view of an episode, (T, H, W) bool.

    Args:
      folder: as of `view_folder`. count: T. size: H and W of the frames.

    Raises:
      DataError: a file that is missing (before any is read), not readable, or of another size;
        names it.
    """
    paths = [folder / f"{step:06d}.png" for step in range(count)]
    if missing := [path for path in paths if not path.is_file()]:
        raise DataError(
            f"{missing[0]}: no such file; {len(missing)} of {count} masks are missing, expected "
            "one for every recorded step"
        )
    return np.stack([_read(path, size) for path in paths])


def _read(path: epath.Path, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(files.read_bytes(path)), formats=["PNG"]) as picture:
            bands = [i for i, band in enumerate(picture.getbands()) if band != "A"]
            values = np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not readable as a PNG ({error})") from error
    if values.shape[:2] != size:
        raise DataError(f"{path}: {values.shape[:2]} pixels, expected {size} as its frame")
    # What is transparent says nothing of the objects.
    return values > 0 if values.ndim == 2 else (values[..., bands] > 0).any(axis=-1)


def write_frames(folder: epath.Path, images: np.ndarray) -> None:
    """Writes the frames (T, H, W, 3) uint8 of one view, all or none of them.

    Raises:
      DataError: images of another shape or type.
    """
    check_images(images)
    with files.folder_beside(folder) as new:
        for step, image in enumerate(images):
            Image.fromarray(image).save(new / f"{step:06d}.jpg", quality=_QUALITY, subsampling=0)
