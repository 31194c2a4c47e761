"""JAX's persistent compilation cache: what one run compiled, the next one reads.

Seeds, statistics and the number of frames are arguments of the compiled programs, so that all cells
of a study with the same method and number of arms share them.
"""

import os
import pathlib

import filelock
import jax
from absl import flags, logging

from glam_jax import files

# Of all programs together; those that were not used for the longest time go first.
MOST_BYTES = 4 << 30
# Programs that take longer to compile are kept, seconds.
WORTH_KEEPING_S = 0.2
# Setting -> what it is where its environment variable does not say.
_SETTINGS = {
    "jax_compilation_cache_max_size": MOST_BYTES,
    "jax_persistent_cache_min_compile_time_secs": WORTH_KEEPING_S,
}


def define_flag() -> None:
    """Defines `--compilation_cache`, once."""
    if "compilation_cache" not in flags.FLAGS:
        meaning = "Folder that keeps compiled programs; '' keeps none. Default: the user's cache."
        flags.DEFINE_string("compilation_cache", None, meaning)


def keep() -> None:
    """Lets JAX keep compiled programs where `--compilation_cache` says.

    Without it, where JAX_COMPILATION_CACHE_DIR says, and else in the user's cache folder. Of
    several hosts the first alone writes. A folder that cannot be written is a warning.
    """
    asked = flags.FLAGS.compilation_cache
    if asked is None and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = None if asked == "" else pathlib.Path(asked or _default()).expanduser()
    try:
        if folder:
            _make(folder)
    except OSError as error:
        logging.warning("compiled programs are not kept: %s", error)
        folder = None
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()) if folder else None)
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def _default() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "glam_jax" / "compiled"


def _make(folder: pathlib.Path) -> None:
    """Makes the folder, and removes what a killed process was writing there: JAX notes when an
    entry was used after it has written it, and cannot make room while a note is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with files.lock(folder / ".lockfile").acquire(timeout=10):
            for entry in folder.glob("*-cache"):
                if not entry.with_name(f"{entry.name.removesuffix('-cache')}-atime").exists():
                    entry.unlink(missing_ok=True)
    except filelock.Timeout:  # others are at work there, which do the same
        pass
