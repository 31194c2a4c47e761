"""A policy as other people's code uses it."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_policy

import glam_jax
from glam_jax.experiment.workdir import WorkdirError
from glam_jax.serve.border import ObservationError
from glam_jax.stages import clone


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_policy.save(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def policy(folder):
    return glam_jax.load_policy(folder)


def test_a_chunk_is_what_evaluation_would_get(policy, folder):
    seen = [tiny_policy.observation(step) for step in (3, 9)]
    chunks = np.stack([policy(one) for one in seen])
    assert chunks.shape == (2, tiny_policy.CHUNK, 8) and chunks.dtype == np.float32
    act, params = clone.load(policy.config, policy.layout, folder / "policy")
    views = [np.stack([one["image_front"], one["image_overhead"]]) for one in seen]
    batch = {name: np.stack([one[name] for one in seen]) for name in ("ee_pose", "proprio")}
    expected = jax.jit(act)(params, {"image": np.stack(views), **batch}, None)
    np.testing.assert_allclose(chunks, expected, atol=1e-5)
    assert np.abs(chunks[0] - chunks[1]).max() > 1e-3


def test_rows_of_a_batch_are_independent(policy):
    rows = [tiny_policy.observation(step) for step in (0, 5, 7)]
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    expected = np.stack([policy(row) for row in rows])
    np.testing.assert_allclose(policy(batch), expected, atol=1e-5)


def test_views_are_told_apart(policy):
    seen = tiny_policy.observation(0)
    swapped = {**seen, "image_front": seen["image_overhead"], "image_overhead": seen["image_front"]}
    assert np.abs(policy(seen) - policy(swapped)).max() > 1e-4


def test_a_wrong_observation_is_refused(policy):
    with pytest.raises(ObservationError, match=r"proprio is missing"):
        policy({k: v for k, v in tiny_policy.observation(0).items() if k != "proprio"})


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(WorkdirError, match="no run was started"):
        glam_jax.load_policy(tmp_path)


def test_importing_the_package_or_its_client_imports_no_jax():
    code = "import sys, glam_jax, glam_jax.client; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
