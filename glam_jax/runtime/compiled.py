"""JAX's persistent compilation cache: what one run compiled, the next one reads.

Seeds, statistics and the number of frames are arguments of the compiled programs, so that all cells
of a study with the same method and number of arms share them.
"""

import os

import filelock
import jax
from absl import flags, logging
from etils import epath

from glam_jax import files

# Of all programs together; those that were not used for the longest time go first.
MOST_BYTES = 4 << 30
# Programs that take longer to compile are kept, seconds.
WORTH_KEEPING_S = 0.2
# The file that JAX itself locks to read or write there, and how long to wait for it, seconds.
JAX_LOCK, LOCK_S = ".lockfile", 10.0
# Setting -> what it is where its environment variable does not say.
_SETTINGS = {
    "jax_compilation_cache_max_size": MOST_BYTES,
    "jax_persistent_cache_min_compile_time_secs": WORTH_KEEPING_S,
}


def define_flag() -> None:
    """Defines `--compilation_cache`, once."""
    if "compilation_cache" not in flags.FLAGS:
        meaning = (
            "Where to keep compiled programs, in glam_jax/compiled; default ~/.cache; '': not."
        )
        flags.DEFINE_string("compilation_cache", None, meaning)


def keep() -> None:
    """Lets JAX keep compiled programs in glam_jax/compiled of the folder `--compilation_cache`.

    Without it, where JAX_COMPILATION_CACHE_DIR says, and else below the user's cache folder. Of
    several hosts the first alone writes. A folder that cannot be written is a warning.
    """
    asked = flags.FLAGS.compilation_cache
    if asked is None and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    # A folder of our own, because `_make` removes files, and other programs of JAX leave others.
    base = asked or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = None if asked == "" else files.absolute(files.path(base) / "glam_jax" / "compiled")
    try:
        if folder:
            _make(folder)
    except OSError as error:
        logging.warning("compiled programs are not kept: %s", error)
        folder = None
    jax.config.update("jax_compilation_cache_dir", os.fspath(folder) if folder else None)
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def _make(folder: epath.Path) -> None:
    """Makes the folder, and removes what a killed process was writing there: JAX notes when an
    entry was used after it has written it, and cannot make room while a note is missing."""
    try:
        with files.lock(folder / JAX_LOCK).acquire(timeout=LOCK_S):
            files.make_folder(folder)
            for entry in files.find(folder, "*-cache"):
                if not entry.with_name(f"{entry.name.removesuffix('-cache')}-atime").exists():
                    files.remove(entry)
    except filelock.Timeout:  # others are at work there, which do the same
        pass
