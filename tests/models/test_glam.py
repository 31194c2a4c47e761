import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_windows as tiny
from random_params import random_params
from tiny_windows import only, size, window_batch

from glam_jax.models import glam, losses, modules

OWN = {"proprio_blocks": 1, "decoder_layers": 2}
SMALL = tiny.SMALL | OWN


@pytest.fixture(scope="module")
def world():
    """A small GLAM-O, its parameters, a batch, and gradients of one term alone."""
    model, batch = glam.Glam(modality="mask", **SMALL), window_batch()
    params = random_params(lambda key: model.init(key, batch, key, method="loss"))
    return model, params, batch, tiny.make_gradients(model)


@pytest.fixture(scope="module")
def at_zero(world):
    """Terms and metrics of the same model with all parameters zero."""
    model, params, batch, _ = world
    zero = jax.tree.map(jnp.zeros_like, params)
    return jax.jit(lambda p: model.apply(p, batch, jax.random.key(0), method="loss"))(zero)


def gradient_of_term(name, params, batch, **settings):
    """Gradient of one term of the model with other settings."""
    model = glam.Glam(modality="mask", **SMALL, **settings)

    def term(p):
        terms, _ = model.apply(p, batch, jax.random.key(2), method="loss")
        return losses.masked_mean(terms[name], batch["is_target"])

    return jax.jit(jax.grad(term))(params)["params"]


def test_kl_against_hand_worked_values():
    # q = N(1, 4), p = N(0, 1): 1/2 (log(1/4) + 4 + 1 - 1) = 2 - log 2.
    q = modules.Gaussian(jnp.array([[1.0]]), jnp.log(jnp.array([[4.0]])))
    p = modules.Gaussian(jnp.array([[0.0]]), jnp.array([[0.0]]))
    np.testing.assert_allclose(modules.kl_divergence(q, p), [2 - np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(modules.kl_to_standard_normal(q), [2 - np.log(2)], rtol=1e-6)
    # The other way: 1/2 (log 4 + 1/4 + 1/4 - 1) = log 2 - 1/4; two dimensions add up.
    np.testing.assert_allclose(modules.kl_divergence(p, q), [np.log(2) - 0.25], rtol=1e-6)
    two = jax.tree.map(lambda x: jnp.repeat(x, 2, axis=1), (p, q))
    np.testing.assert_allclose(modules.kl_divergence(*two), [2 * np.log(2) - 0.5], rtol=1e-6)


def test_alignment_gives_the_action_encoder_no_gradient(world):
    _, params, batch, gradients = world
    found = gradients(only(glam.Glam, "alignment"), params, batch)
    assert size(found["action_encoder"]) == 0
    assert size(found["idm"]) > 0


@pytest.mark.parametrize("alignment, reaches", [("symmetric", True), ("none", False)])
def test_alignment_ablations_change_who_learns_from_it(world, alignment, reaches):
    _, params, batch, _ = world
    found = gradient_of_term("alignment", params, batch, alignment=alignment)
    assert (size(found["action_encoder"]) > 0) == reaches
    assert (size(found["idm"]) > 0) == reaches


def test_action_reconstruction_gives_the_idm_no_gradient(world):
    _, params, batch, gradients = world
    found = gradients(only(glam.Glam, "action"), params, batch)
    assert size(found["idm"]) == size(found["encoder"]) == 0
    assert size(found["action_encoder"]) > 0


def test_action_loss_on_the_idm_is_a_switch(world):
    _, params, batch, _ = world
    found = gradient_of_term("action", params, batch, action_loss_on="idm")
    assert size(found["idm"]) > 0
    assert size(found["action_encoder"]) == 0


def test_auxiliary_rows_add_exactly_zero_to_every_target_term(world):
    _, params, batch, gradients = world
    target_terms = [name for name, rows in glam.Glam.term_rows.items() if rows == "target"]
    other = tiny.scramble_auxiliary(batch)
    before, after = (gradients(only(glam.Glam, *target_terms), params, b) for b in (batch, other))
    assert size(before) > 0
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_all_source_terms_do_see_auxiliary_rows(world):
    _, params, batch, gradients = world
    other = {**batch, "ee_step": batch["ee_step"].at[1].add(1.0)}
    before, after = (gradients(only(glam.Glam, "forward_ee"), params, b) for b in (batch, other))
    assert size(jax.tree.map(lambda a, b: a - b, before, after)) > 0


def test_label_is_the_posterior_mean(world):
    model, params, batch, _ = world

    def posterior(module, batch):
        return module.infer(module.encode(batch["image"]), batch)

    @jax.jit
    def both(params):
        label = model.apply(params, batch, method="label")
        return label, model.apply(params, batch, method=posterior)

    label, q = both(params)
    np.testing.assert_array_equal(label, q.mean)
    assert size(q.log_variance) > 0


def test_image_term_of_masks_is_cross_entropy_summed_over_pixels(at_zero):
    terms, _ = at_zero
    # Logits of zero: log 2 nats for each of the 16 * 16 * 2 pixels.
    np.testing.assert_allclose(terms["image"], 512 * np.log(2), rtol=1e-5)


def test_copy_baseline_is_the_forward_error_of_standing_still(at_zero):
    terms, metrics = at_zero
    np.testing.assert_allclose(terms["forward_ee"], metrics["copy_ee"], rtol=1e-6)


@pytest.mark.parametrize("views", [("wrist",), ("front", "overhead", "wrist")])
def test_rgb_model_sees_and_reconstructs_all_views(views):
    layout = dataclasses.replace(tiny.LAYOUT, views=views)
    model = glam.Glam(modality="rgb", **SMALL | {"layout": layout})
    batch = window_batch(modality="rgb", layout=layout)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda: model.init(key, batch, key, method="loss"))
    shape = jax.eval_shape(
        lambda p: model.apply(p, batch["image"], method="reconstruct"), params
    ).shape
    assert shape == batch["image"].shape


def test_shapes_at_full_size():
    batch = window_batch(rows=2, modality="rgb", layout=tiny.LARGE["layout"], time=8)
    own = {"proprio_blocks": 5, "decoder_layers": 4}
    model = glam.Glam(modality="rgb", **tiny.LARGE, **own)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda: model.init(key, batch, key, method="loss"))
    label = jax.eval_shape(lambda p: model.apply(p, batch, method="label"), params)
    action = jax.eval_shape(lambda p, z: model.apply(p, z, method="decode"), params, label)
    assert label.shape == (2, 7, 16) and action.shape == (2, 7, 16)
