"""Stage 1 of the baselines: trained, logged, saved, loaded, and asked for labels and actions."""

import numpy as np
import pytest

from glam_jax import config, schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.errors import ConfigError
from glam_jax.runtime import metrics
from glam_jax.stages import pretrain, world_model

TARGET = schema.Layout(arms=1, image_size=16, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=16, has_actions=False)
TINY = {
    "latent": 4, "visual": 8, "channels": (4, 4, 4, 4), "width": 8,
    "posterior_blocks": 1, "forward_blocks": 1,
}  # fmt: skip
STEPS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """method -> (config, store, held-out store, world model, folder) after some steps."""

    def train(method):
        made = config.make("lifting", f"method={method},scale=quick")
        with made.unlocked():
            made.world_model.update(TINY)
            made.pretrain.update(
                steps=STEPS, batch=4, warmup_steps=1, log_every=1, matrix_learning_rate=0.0
            )
            if method == "lapa_o":
                made.pretrain.reseed_every = 1
        target = [schema.fake_episode(TARGET, 12, seed) for seed in range(2)]
        count = 2 * (any(made.data.auxiliary.values()))
        auxiliary = [
            schema.fake_episode(AUXILIARY, 12, seed, source="umi") for seed in range(count)
        ]
        store, heldout = Store(target, auxiliary), Store(target[:1])
        stats, folder = normalize.statistics(store), tmp_path_factory.mktemp(method)
        model = pretrain.pretrain(made, store, heldout, stats, folder)
        return made, store, heldout, model, folder

    return {method: train(method) for method in ("clam_o", "lapa_o")}


def test_clam_decodes_from_the_target_alone(trained):
    made, store, heldout, model, folder = trained["clam_o"]
    assert len(store.lengths) == store.targets == 2
    curves = metrics.read_metrics(folder)
    assert {*made.pretrain.weights, "copy_y", "copy_ee", "heldout_ee_mm"} <= set(curves)
    assert model.decode(model.label(heldout)).shape == (11, 8)


def test_lapa_logs_its_codes_and_decodes_nothing(trained):
    made, store, heldout, model, folder = trained["lapa_o"]
    assert len(store.lengths) == 4 and store.targets == 2
    curves = metrics.read_metrics(folder)
    own = {"copy_y", "copy_ee", "code_perplexity", "dead_codes"}
    assert {*made.pretrain.weights, *own} <= set(curves)
    assert not [name for name in curves if name.startswith(("heldout", "code_share"))]
    for steps, values in (curves["code_perplexity"], curves["dead_codes"]):
        assert list(steps) == [1, 2, 3, 4] and len(values) == STEPS
    labels = model.label(store)
    codebook = np.asarray(model.params["params"]["codebook"])
    distance = np.abs(labels.reshape(-1, 4, 1, 1) - codebook).max(axis=-1)
    assert labels.shape == (44, 4) and not distance.min(axis=-1).any()
    for ask in (lambda: model.decode(labels), lambda: model.decoded_error(heldout, made)):
        with pytest.raises(ValueError, match="Lapa learns no robot actions in stage 1"):
            ask()


@pytest.mark.parametrize("method", ["clam_o", "lapa_o"])
def test_a_loaded_world_model_gives_the_same_labels(trained, method):
    made, store, _, model, folder = trained[method]
    loaded = world_model.load(made, TARGET, folder)
    assert type(loaded.model) is type(model.model) and loaded.decodes == model.decodes
    np.testing.assert_array_equal(loaded.label(store), model.label(store))


def test_the_method_names_the_world_model():
    found = {m: world_model.world_model_of(m) for m in config.METHODS}
    assert {m: kind and kind.__name__ for m, kind in found.items()} == {
        "glam_o": "Glam", "glam": "Glam", "clam_o": "Clam", "clam": "Clam",
        "lapa_o": "Lapa", "lapa": "Lapa", "mip": None,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="method mip has no world model"):
        world_model.build(config.make("lifting", "method=mip"), TARGET)
