"""A folder of frames for a segmenter, and of the masks that it makes of them.

    FOLDER/<split>/<episode, 6 digits>/<view>/<step, 6 digits>.jpg     frames
    FOLDER/<split>/<episode, 6 digits>/<view>/<step, 6 digits>.png     masks

Episodes count from 0 within their split, steps from 0 within their episode, as recorded. A mask
has the size of its frame, and any number above 0 on the objects.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from PIL import Image

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.own_data.key_map import KeyMap
from glam_jax.own_data.raw_episode import RawEpisode
from glam_jax.own_data.selector import naming

_QUALITY = 95  # of JPEG


def view_folder(root: epath.PathLike, split: str, episode: int, view: str) -> epath.Path:
    """Where the frames or masks of one view of an episode lie."""
    return files.path(root) / split / f"{episode:06d}" / view


def check_masks(roots: Mapping[str, str], split: str, episodes: Sequence[int]) -> None:
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
                    f"{folder}: no such folder, expected masks of {len(episodes)} episodes of "
                    f"{split!r}, as of glam_jax.own_data frames"
                )


def read_mask(folder: epath.Path, step: int, size: tuple[int, int]) -> np.ndarray:
    """The mask of one step, (H, W) bool.

    Args:
      folder: as of `view_folder`. size: H and W of the frame.

    Raises:
      DataError: a file that is missing, not readable, or of another size; names it.
    """
    path = folder / f"{step:06d}.png"
    try:
        with Image.open(io.BytesIO(files.read_bytes(path)), formats=["PNG"]) as picture:
            bands = [i for i, band in enumerate(picture.getbands()) if band != "A"]
            values = np.asarray(picture)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file, expected a mask of every frame") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not readable as a PNG ({error})") from error
    if values.shape[:2] != size:
        raise DataError(f"{path}: {values.shape[:2]} pixels, expected {size} as its frame")
    # What is transparent says nothing of the objects.
    return values > 0 if values.ndim == 2 else (values[..., bands] > 0).any(axis=-1)


def write(root: epath.PathLike, split: str, raw: RawEpisode, keys: KeyMap) -> int:
    """Writes the upright frames of an episode; returns how many folders, of a view each.

    A folder that is there already is kept; the others come whole or not at all.

    Raises:
      ValueError: images of another form; names the key.
    """
    folders = {view: view_folder(root, split, raw.index, view) for view in keys.views}
    missing = {view: folder for view, folder in folders.items() if not files.is_whole(folder)}
    with contextlib.ExitStack() as stack:
        new = {v: stack.enter_context(files.folder_beside(f)) for v, f in missing.items()}
        for step, arrays in enumerate(raw.steps if new else ()):
            for view, folder in new.items():
                with naming(keys.views[view]):
                    image = keys.image_forms[view].picture(arrays[keys.views[view]])
                path = folder / f"{step:06d}.jpg"
                Image.fromarray(image).save(path, quality=_QUALITY, subsampling=0)
    return len(new)
