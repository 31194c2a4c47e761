"""CLAM: what its terms are, and who learns from which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_windows as tiny
from random_params import random_params
from tiny_windows import only, size

from glam_jax.models.clam import Clam

# One layer, so that decoding can be worked by hand.
OWN = {"decoder_layers": 1}


@pytest.fixture(scope="module")
def world():
    """A small CLAM-O, its parameters, a batch, and gradients of one term alone."""
    model, batch = Clam(modality="mask", **tiny.SMALL, **OWN), tiny.window_batch()
    params = random_params(lambda key: model.init(key, batch, key, method="loss"))
    return model, params, batch, tiny.make_gradients(model)


@pytest.fixture(scope="module")
def answers(world):
    """(params, key) -> terms, metrics, labels and decoded labels."""
    model, _, batch, _ = world

    def everything(module, key):
        z = module.label(batch)
        return *module.loss(batch, key), z, module.decode(z)

    return jax.jit(lambda params, key: model.apply(params, key, method=everything))


def test_losses_by_hand(world, answers):
    _, params, batch, _ = world
    zero = jax.tree.map(jnp.zeros_like, params)
    # Every latent is (2, 0, 0, 0), and the decoder's third output is three times its first.
    zero["params"]["idm"]["Dense_0"]["bias"] = jnp.array([2.0, 0, 0, 0])
    decoder = zero["params"]["action_decoder"]["MLP_0"]["Dense_0"]
    decoder["kernel"] = decoder["kernel"].at[0, 2].set(3.0)
    terms, metrics, z, decoded = answers(zero, jax.random.key(0))
    np.testing.assert_array_equal(z[0, 0], [2, 0, 0, 0])
    np.testing.assert_array_equal(decoded[0, 0], [0, 0, 6, 0, 0, 0, 0, 0])
    error = np.array(batch["action"][:, :-1])
    error[..., 2] -= 6.0
    np.testing.assert_allclose(terms["action"], (error**2).sum(-1).mean(1), rtol=1e-5)
    # Nothing is predicted to move, and logits are 0: log 2 nats for each of 16 * 16 * 2 pixels.
    np.testing.assert_allclose(terms["forward_ee"], metrics["copy_ee"], rtol=1e-6)
    np.testing.assert_allclose(terms["image"], 512 * np.log(2), rtol=1e-5)


def test_labels_are_what_the_action_decoder_learns_to_read_and_have_no_noise(world, answers):
    _, params, batch, _ = world
    first, second = (answers(params, jax.random.key(seed)) for seed in (0, 1))
    error = np.asarray(first[3] - batch["action"][:, :-1])
    np.testing.assert_allclose(first[0]["action"], (error**2).sum(-1).mean(1), rtol=1e-4)
    for name in ("forward_y", "forward_ee", "action"):
        np.testing.assert_array_equal(first[0][name], second[0][name])
    assert np.abs(np.diff(first[2], axis=1)).max() > 1e-2


def test_the_inverse_dynamics_model_learns_from_actions_and_from_next_states(world):
    _, params, batch, gradients = world
    assert "action_encoder" not in params["params"]
    action = gradients(only(Clam, "action"), params, batch)
    assert min(size(action[part]) for part in ("encoder", "idm", "action_decoder")) > 0
    assert size(action["forward_model"]) == size(action["decoder"]) == 0
    forward = gradients(only(Clam, "forward_y", "forward_ee"), params, batch)
    assert min(size(forward[part]) for part in ("encoder", "idm", "forward_model")) > 0
    assert size(forward["action_decoder"]) == 0
    image = gradients(only(Clam, "image"), params, batch)
    assert size(image["decoder"]) > 0 and size(image["idm"]) == 0


def test_auxiliary_rows_add_exactly_zero_to_the_action_term(world):
    _, params, batch, gradients = world
    other = tiny.scramble_auxiliary(batch)
    before, after = (gradients(only(Clam, "action"), params, b) for b in (batch, other))
    assert size(before) > 0
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_shapes_at_full_size():
    batch = tiny.window_batch(rows=2, modality="rgb", layout=tiny.LARGE["layout"], time=8)
    model = Clam(modality="rgb", **tiny.LARGE, decoder_layers=4)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda: model.init(key, batch, key, method="loss"))
    label = jax.eval_shape(lambda p: model.apply(p, batch, method="label"), params)
    action = jax.eval_shape(lambda p, z: model.apply(p, z, method="decode"), params, label)
    assert label.shape == (2, 7, 16) and action.shape == (2, 7, 16)
