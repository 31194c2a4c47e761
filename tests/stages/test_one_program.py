"""Cells of a study train with one compiled program: what differs between them is its argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import train_sharded as tiny

from glam_jax import schema
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.runtime import loop
from glam_jax.stages import clone, pretrain, units

PLACES = "ee_pose"


def cell(seed, episodes):
    """The config of a cell, its data and their statistics."""
    config = tiny.settings()
    config.seed = seed
    target = [schema.fake_episode(tiny.TARGET, 12, seed + i) for i in range(episodes)]
    auxiliary = [schema.fake_episode(tiny.AUXILIARY, 12, seed, source="umi")]
    store = Store(target, auxiliary)
    return config, store, normalize.statistics(store)


def stage1(cell, folder):
    config, store, stats = cell
    pretrain.pretrain(config, store, store, stats, folder)


def stage2(cell, folder):
    config, store, stats = cell
    labels = store.transition_actions()[:, :4]
    clone.clone(
        config, store, store, labels, units.label_statistics(labels, stats, latent=True), folder
    )


@pytest.mark.parametrize("stage", [stage1, stage2])
def test_seed_statistics_and_number_of_episodes_are_arguments(tmp_path, monkeypatch, stage):
    programs, arguments = [], []

    def lower(state, step, feed, constants, **options):
        given = state, feed.fetch(0), constants, np.int32(1)
        programs.append(jax.jit(loop.make_call(step, 2)).lower(*given).as_text())
        arguments.append(given)
        return state

    def zeros(init):
        def made(*arguments):
            shapes = jax.eval_shape(lambda: init(*arguments))
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        return made

    monkeypatch.setattr(loop, "fit", lower)
    for module in (pretrain, clone):
        monkeypatch.setattr(module, "init_params", zeros(module.init_params))
    for seed, episodes in ((0, 3), (7, 2)):
        stage(cell(seed, episodes), tmp_path / str(seed))
    assert programs[0] == programs[1]
    (_, _, one, _), (_, _, other, _) = arguments
    assert one["seed"] != other["seed"]
    mean, another = (constants["statistics"][PLACES]["mean"] for constants in (one, other))
    assert (mean != another).all()
