"""Shared by all tests: the CPU, what was compiled before, what a session simulates, fixtures."""

import gc
import importlib.metadata
import os
import pathlib
import platform
import shutil
import tempfile

# Tracing makes objects that live: at the default of 700, a fifth of its time was collections.
gc.set_threshold(100_000, 20, 100)

# Set before JAX is imported, and in the environment, so that workers and subprocesses share them.
MADE = None if "GLAM_TEST_SHARED" in os.environ else tempfile.mkdtemp(prefix="glam_jax_tests_")
SHARED = os.environ.setdefault("GLAM_TEST_SHARED", MADE)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiled programs are kept between sessions; what other versions compiled is removed.
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
COMPILED = CACHE / "glam_jax" / "tests"
VERSION = f"jaxlib-{importlib.metadata.version('jaxlib')}-python-{platform.python_version()}"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED / VERSION))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from glam_jax import schema  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--bucket_kills", type=int, default=20, help="see test_buckets")
    parser.addoption("--hostile", type=int, default=60, help="messages of test_hostile")


def pytest_configure(config):
    if MADE and COMPILED.is_dir():  # not a worker's
        for other in COMPILED.iterdir():
            if other.name != VERSION:
                shutil.rmtree(other, ignore_errors=True)


def pytest_unconfigure(config):
    if MADE:
        shutil.rmtree(MADE, ignore_errors=True)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of its own for each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def target_layout() -> schema.Layout:
    """One arm with actions, 16x16 images."""
    return schema.Layout(arms=1, image_size=16, has_actions=True)


@pytest.fixture(scope="session")
def auxiliary_layout() -> schema.Layout:
    """One gripper without actions, 16x16 images."""
    return schema.Layout(arms=1, image_size=16, has_actions=False)


@pytest.fixture(scope="session")
def gcs():
    """`gs://bucket`, of a server on this machine."""
    import bucket_server

    with bucket_server.google():
        yield f"gs://{bucket_server.BUCKET}"
