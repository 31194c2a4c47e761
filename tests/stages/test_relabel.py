"""Relabelling and decoding with a frozen world model, and what stops its training."""

import resource
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from glam_jax import config, schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.experiment import replay
from glam_jax.runtime import checkpoint, steplog
from glam_jax.stages import pretrain, relabel, units
from glam_jax.stages.world_model import LABEL_BATCH, WorldModel, build

TARGET = schema.Layout(arms=1, image_size=16, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=16, has_actions=False)
LENGTHS = {"target": (100, 3, 60), "auxiliary": (2, 100)}


def episodes(kind):
    layout, source = (TARGET, "kinova") if kind == "target" else (AUXILIARY, "umi")
    return [
        schema.fake_episode(layout, length, 10 * len(kind) + i, source=source)
        for i, length in enumerate(LENGTHS[kind])
    ]


@pytest.fixture(scope="module")
def settings():
    made = config.make("lifting", "scale=quick")
    with made.unlocked():
        made.world_model.update(
            {"latent": 3, "visual": 8, "channels": (4, 4, 4, 4), "width": 16},
            posterior_blocks=1, forward_blocks=1, proprio_blocks=1, decoder_layers=2,
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def store():
    """More transitions than one batch of labels, and not a multiple of it."""
    found = Store(episodes("target"), episodes("auxiliary"))
    assert len(found.transition_frames()) > LABEL_BATCH
    return found


@pytest.fixture(scope="module")
def world_model(settings):
    model = build(settings, TARGET)
    shapes = schema.window_batch_shapes(TARGET, 2, 2, "mask")
    stats = normalize.statistics(Store(episodes("target"), episodes("auxiliary")))
    batch = units.windows(jax.tree.map(jnp.asarray, schema.fake_batch(shapes)), stats)
    params = random_params(lambda key: model.init(key, batch, key, method="loss"))
    return WorldModel(model, params, stats)


def test_labels_are_the_posterior_means_in_the_stores_order(world_model, store, tmp_path):
    latents = relabel.relabel(world_model, store, tmp_path / "labels.npy")
    assert latents.shape == (len(store.transition_frames()), 3) and latents.dtype == np.float32

    @jax.jit
    def posterior(batch):
        seen = units.windows(batch, world_model.stats)

        def infer(module):
            return module.infer(module.encode(seen["image"]), seen)

        return world_model.model.apply(world_model.params, method=infer)

    # One window over the whole first target episode, and one over the last auxiliary one.
    for frames, rows in (
        (slice(100), slice(99)),
        (slice(-100, None), slice(-99, None)),
    ):
        keys = ("ee_pose", "proprio", "action")
        batch = {key: store.arrays[key][frames][None] for key in keys}
        seen = np.arange(len(store.arrays["last"]))[frames]
        batch["image"] = store.pictures("mask", seen)[None]
        q = posterior(batch | {"is_target": np.ones(1, np.float32)})
        np.testing.assert_allclose(latents[rows], q.mean[0], rtol=1e-4, atol=1e-5)
        assert np.abs(np.diff(latents[rows], axis=0)).max() > 1e-2
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), latents)
    assert [p.name for p in tmp_path.iterdir()] == ["labels.npy"]
    feeds.ChunkFeed(store, feeds.Draw(4, 0.5, 0, False), latents, 5)  # one for each transition


def test_labels_that_are_not_finite_are_refused(world_model, store, tmp_path):
    broken = WorldModel(
        world_model.model,
        jax.tree.map(lambda leaf: leaf * np.nan, world_model.params),
        world_model.stats,
    )
    count = len(store.transition_frames())
    with pytest.raises(FloatingPointError, match=f"{count} of {count} transitions"):
        relabel.relabel(broken, store, tmp_path / "labels.npy")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_labels_that_are_there(world_model, store, tmp_path):
    path = tmp_path / "labels.npy"
    relabel.relabel(world_model, store, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError):
            relabel.relabel(world_model, store, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["labels.npy"]


def test_decoded_actions_are_in_the_robots_units(world_model):
    z = np.random.default_rng(0).normal(size=(LABEL_BATCH + 5, 3)).astype(np.float32)
    found = world_model.decode(z)
    normalised = world_model.model.apply(world_model.params, z[-5:], method="decode")
    expected = normalize.unnormalize(np.asarray(normalised), world_model.stats["action"])
    np.testing.assert_allclose(found[-5:], expected, rtol=1e-4, atol=1e-5)
    assert found.shape == (len(z), 8)


def test_replayed_actions_are_decoded_from_their_own_episode(world_model):
    heldout = {"kinova": episodes("target"), "umi": episodes("auxiliary")}
    for source, kind in (("kinova", "target"), ("umi", "auxiliary")):
        found = replay.decoded_actions(world_model, heldout, source)
        assert [a.shape for a in found] == [(length - 1, 8) for length in LENGTHS[kind]]
        alone = {"kinova": heldout["kinova"][:1], source: heldout[source][-1:]}
        (last,) = replay.decoded_actions(world_model, alone, source)
        np.testing.assert_allclose(last, found[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_absurd_learning_rate_names_term_and_step_and_keeps_the_last_checkpoint(
    settings, store, world_model, tmp_path
):
    with settings.unlocked():
        settings.pretrain.update(
            batch=4, learning_rate=1e30, save_every=1, steps=20, warmup_steps=3
        )
    heldout = Store(episodes("target")[:1])
    with pytest.raises(steplog.NonFiniteLossError) as error:
        pretrain.pretrain(settings, store, heldout, world_model.stats, tmp_path)
    terms = set(settings.pretrain.weights) | {"copy_y", "copy_ee", "loss", "grad_norm"}
    assert error.value.term in terms and 0 < error.value.step < 20
    named = f"stage 1, world model: '{error.value.term}' is .* at step {error.value.step}"
    assert error.match(named) and error.match("the checkpoints before it are kept")
    kept = checkpoint.restore_for_inference(tmp_path)
    assert 0 < kept.step <= error.value.step
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.params))
