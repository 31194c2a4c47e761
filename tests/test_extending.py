"""docs/extending.md: the world model that the page teaches is trained as the page says."""

import pathlib
import re

import chex
import numpy as np
import pytest

from glam_jax import config, schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.stages import pretrain, world_model

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "extending.md"
LAYOUT = schema.Layout(arms=1, image_size=16, has_actions=True)


@pytest.fixture
def example():
    """The class of the page's code."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec("\n".join(blocks), names)
    return names["Plain"]


@pytest.mark.slow
def test_the_example_is_trained_and_labels_transitions(example, monkeypatch, tmp_path):
    monkeypatch.setitem(world_model.WORLD_MODELS, "plain", example)
    made = config.make("lifting", "method=lapa_o,scale=quick").copy_and_resolve_references()
    made.unlock()
    made.method, made.image_size = "plain_o", 16
    for key in ("codes", "codebook_size"):  # LAPA's own
        del made.world_model[key]
    made.world_model.update({"width": 16, "channels": (4, 4, 4, 4), "posterior_blocks": 1})
    made.pretrain.weights = dict.fromkeys(example.term_rows, 1.0)
    made.pretrain.update({"steps": 2, "batch": 4, "warmup_steps": 0})
    episodes = [schema.fake_episode(LAYOUT, 6, seed) for seed in range(2)]
    store = Store(episodes[:1], episodes[1:])
    stats = normalize.statistics(store)
    model = pretrain.pretrain(made, store, Store(episodes[:1]), stats, tmp_path)
    labels = model.label(store)
    chex.assert_shape(labels, (10, made.world_model.latent))
    assert np.isfinite(labels).all() and np.ptp(labels) > 0
