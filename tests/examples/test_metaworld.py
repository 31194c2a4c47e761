"""The MetaWorld example's config: what each method learns from, and where it finds it."""

import pathlib
import runpy

import pytest

from glam_jax.demonstrations import gather

CONFIG = pathlib.Path(__file__).parents[2] / "examples" / "metaworld" / "config.py"


@pytest.mark.parametrize(
    "method, learns_from",
    [
        ("glam", {"labelled": 50, "unlabelled": 400}),
        ("clam", {"labelled": 50, "unlabelled": 400}),
        ("lapa", {"labelled": 50, "unlabelled": 400}),
        ("mip", {"labelled": 50}),
    ],
)
def test_methods_learn_from_both_kinds_of_trajectories_but_for_mip(method, learns_from):
    made = runpy.run_path(CONFIG)["get_config"](f"peg-insert-side-v3,method={method}")
    assert {source.name: source.episodes for source in gather.sources(made)} == learns_from
    for run in (made.pretrain, made.clone):
        assert (run.target_share < 1.0) == ("unlabelled" in learns_from)
    for name, keys in made.own.sources.items():
        assert keys.path == f"runs/metaworld/peg-insert-side-v3_{name}.hdf5"
        assert bool(keys.action) == (name == "labelled")
