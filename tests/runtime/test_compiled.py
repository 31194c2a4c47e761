"""Where compiled programs are kept, and that the next process finds them."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys
import jax
from glam_jax.runtime import entry

def main(_):
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    seen = []
    jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
    jax.jit(lambda x: x * 2 + 1)(3.0)
    print("hits", seen.count("/jax/compilation_cache/cache_hits"))

entry.run(main)
"""
NAMES = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def start(home, *words, **more):
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(home), **more}
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]), done.stderr


def entries(folder):
    return sorted(path.name for path in folder.glob("*-cache"))


def test_a_second_process_reads_what_the_first_one_compiled(tmp_path):
    kept = tmp_path / "glam_jax" / "compiled"
    assert start(tmp_path)[0] == 0
    names = entries(kept)
    assert names and start(tmp_path)[0] > 0
    # What a killed process was writing is removed: its note of the time is missing.
    torn = kept / "torn-cache"
    torn.write_bytes(b"half")
    assert start(tmp_path)[0] > 0
    assert entries(kept) == names


@pytest.mark.parametrize("way", ["flag", "environment"])
def test_the_folder_can_be_another_one(tmp_path, way):
    home, other = tmp_path / "home", tmp_path / "other"
    words, more = [f"--compilation_cache={other}"], {}
    if way == "environment":
        words, more = [], {"JAX_COMPILATION_CACHE_DIR": str(other)}
    start(home, *words, **more)
    assert entries(other if more else other / "glam_jax" / "compiled") and not home.exists()


def test_it_can_be_switched_off(tmp_path):
    start(tmp_path, "--compilation_cache=", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "other"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    found, said = start(tmp_path, f"--compilation_cache={tmp_path / 'file' / 'folder'}")
    assert found == 0 and "compiled programs are not kept" in said
