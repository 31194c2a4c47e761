"""LAPA: its quantiser by hand, its labels, and who learns from what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_windows as tiny
from random_params import random_params
from tiny_windows import only, size

from glam_jax.models import lapa
from glam_jax.models.lapa import Lapa

OWN = {"codes": 2, "codebook_size": 3}


@pytest.fixture(scope="module")
def world():
    """A small LAPA-O, its parameters, a batch, and gradients of one term alone."""
    model, batch = Lapa(modality="mask", **tiny.SMALL, **OWN), tiny.window_batch()
    params = random_params(lambda key: model.init(key, batch, key, method="loss"))
    return model, params, batch, tiny.make_gradients(model)


@pytest.fixture(scope="module")
def answers(world):
    """(params, batch) -> terms, metrics, labels and what the inverse dynamics model said."""
    model = world[0]

    def everything(module, batch):
        z = module.infer(module.encode(batch["image"]), batch)
        return *module.loss(batch, jax.random.key(0)), module.label(batch), z

    return jax.jit(lambda params, batch: model.apply(params, batch, method=everything))


def test_noise_in_place_of_the_quantisation_error_by_hand():
    part, code, noise = jnp.array([3.0, 4.0]), jnp.zeros(2), jnp.array([0.0, 2.0])
    np.testing.assert_allclose(lapa.nsvq(part, code, noise), [3, 9], rtol=1e-6)
    # q_2 = d_2 + norm(d - e): its gradient is (0, 1) + (0.6, 0.8) by d, and -(0.6, 0.8) by e.
    by_part, by_code = jax.grad(lambda d, e: lapa.nsvq(d, e, noise)[1], (0, 1))(part, code)
    np.testing.assert_allclose(by_part, [0.6, 1.8], rtol=1e-6)
    np.testing.assert_allclose(by_code, [-0.6, -0.8], rtol=1e-6)


def test_a_part_on_its_code_stays_there_and_has_a_finite_gradient():
    part, noise = jnp.array([3.0, 4.0]), jnp.array([1.0, 1.0])
    np.testing.assert_allclose(lapa.nsvq(part, part, noise), part, atol=1e-5)
    gradient = jax.jacobian(lapa.nsvq, (0, 1))(part, part, noise)
    np.testing.assert_allclose(gradient, [np.eye(2), np.zeros((2, 2))], atol=1e-5)


def test_nearest_code_by_hand():
    codebook = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    parts = jnp.array([[[0.4, 0.0], [0.6, 0.0]], [[0.0, 0.9], [0.0, 1.1]]])
    np.testing.assert_array_equal(lapa.nearest(parts, codebook), [[0, 1], [0, 2]])


@pytest.mark.parametrize(
    "share, expected",
    [([0.5, 0.5, 0, 0], 2.0), ([1.0, 0, 0], 1.0), ([0.5, 0.25, 0.25], 2**1.5), ([0.125] * 8, 8.0)],
)
def test_perplexity_by_hand(share, expected):
    np.testing.assert_allclose(lapa.perplexity(jnp.array(share)), expected, rtol=1e-6)


def test_fresh_codes_lie_near_used_ones_as_often_as_these_are_used():
    codebook = jnp.array([[1.0, 1.0], [-9.0, 9.0], [3.0, -3.0], [9.0, -9.0]])
    share = jnp.array([0.75, 0.0, 0.25, 0.0])
    draw = jax.jit(jax.vmap(lambda key: lapa.reseeds(codebook, share, key)))
    fresh = np.asarray(draw(jax.random.split(jax.random.key(0), 500))).reshape(-1, 2)
    distance = np.linalg.norm(fresh[:, None] - codebook[np.array([0, 2])], axis=-1)
    assert distance.min(axis=1).max() < 0.15  # codes are 4 apart and of size 1.7
    assert len(np.unique(fresh, axis=0)) == len(fresh)
    np.testing.assert_allclose((distance[:, 0] < 1).mean(), 0.75, atol=0.05)


def test_labels_are_rows_of_the_codebook_nearest_to_what_was_inferred(world, answers):
    _, params, batch, _ = world
    _, metrics, label, z = answers(params, batch)
    codebook = np.asarray(params["params"]["codebook"])
    assert label.shape == z.shape == (4, 2, 4)
    label, z = (np.asarray(x).reshape(4, 2, 2, 2) for x in (label, z))
    index = np.linalg.norm(z[..., None, :] - codebook, axis=-1).argmin(-1)
    np.testing.assert_array_equal(label, codebook[index])
    share = [[(row == k).mean() for k in range(3)] for row in index]
    np.testing.assert_allclose(metrics["code_share"], share, rtol=1e-6)
    assert np.mean(share, axis=0).max() < 1


def test_losses_by_hand(world, answers):
    _, params, batch, _ = world
    zero = jax.tree.map(jnp.zeros_like, params)
    terms, metrics, _, _ = answers(zero, batch)
    # Nothing is predicted to move, and logits are 0: log 2 nats for each of 16 * 16 * 2 pixels.
    np.testing.assert_allclose(terms["forward_ee"], metrics["copy_ee"], rtol=1e-6)
    np.testing.assert_allclose(terms["image"], 512 * np.log(2), rtol=1e-5)
    np.testing.assert_array_equal(metrics["code_share"], [[1, 0, 0]] * 4)  # all equal: the first


def test_no_robot_action_or_joint_reaches_it(world, answers):
    _, params, batch, _ = world
    assert not {"action_decoder", "action_encoder", "proprio_forward"} & set(params["params"])
    robots = ("action", "proprio", "proprio_step")
    other = batch | {name: batch[name] + 1.0 for name in robots}
    jax.tree.map(np.testing.assert_array_equal, answers(params, batch), answers(params, other))


def test_next_states_teach_inverse_dynamics_and_codes_and_images_teach_neither(world):
    _, params, batch, gradients = world
    forward = gradients(only(Lapa, "forward_y", "forward_ee"), params, batch)
    assert min(size(forward[part]) for part in ("encoder", "idm", "codebook")) > 0
    image = gradients(only(Lapa, "image"), params, batch)
    assert size(image["idm"]) == size(image["codebook"]) == 0 < size(image["decoder"])


def test_a_code_that_nothing_takes_gets_no_gradient(world):
    _, params, batch, gradients = world
    far = jax.tree.map(jnp.copy, params)
    far["params"]["codebook"] = far["params"]["codebook"].at[1].set(1e3)
    found = gradients(only(Lapa, "forward_y", "forward_ee"), far, batch)["codebook"]
    assert size(found[1]) == 0 < size(found)


def test_auxiliary_rows_count(world):
    _, params, batch, gradients = world
    other = tiny.scramble_auxiliary(batch)
    before, after = (gradients(only(Lapa, "forward_ee"), params, b) for b in (batch, other))
    assert size(jax.tree.map(lambda a, b: a - b, before, after)) > 0


def test_shapes_at_full_size():
    batch = tiny.window_batch(rows=2, modality="rgb", layout=tiny.LARGE["layout"], time=8)
    model = Lapa(modality="rgb", **tiny.LARGE, codes=4, codebook_size=8)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda: model.init(key, batch, key, method="loss"))
    label = jax.eval_shape(lambda p: model.apply(p, batch, method="label"), params)
    assert label.shape == (2, 7, 16) and params["params"]["codebook"].shape == (8, 4)
