import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from glam_jax import schema
from glam_jax.models import losses, mip
from glam_jax.models.augment import Augmentation
from glam_jax.models.modules import ActionDecoder
from glam_jax.models.vision import SmallEncoder, ViewsEncoder

LAYOUT = schema.Layout(arms=1, image_size=16, has_actions=True)
SMALL = {
    "network": mip.MipNetwork(layers=3, width=16),
    "action_decoder": ActionDecoder(layers=2, width=16, action_dim=8),
    "augmentation": Augmentation(1, 0.25, 0.3, 0.05),
    "chunk": 5,
    "label_dim": 3,
}


def small_policy(**settings):
    """A small policy with other settings."""
    views = tuple(SmallEncoder((4, 4, 4), 8) for _ in LAYOUT.views)
    return mip.MipPolicy(vision=ViewsEncoder(views, side=0, hidden=8, out=6), **SMALL | settings)


def chunk_batch(label_dim=3):
    batch = schema.fake_batch(schema.chunk_batch_shapes(LAYOUT, 4, 5, label_dim))
    return jax.tree.map(jnp.asarray, batch)


@pytest.fixture(scope="module")
def policy():
    """A small policy, its parameters, a batch, and its jitted terms (params, batch) -> dict."""
    model, batch = small_policy(), chunk_batch()
    return model, params_of(model, batch), batch, jax.jit(terms_of(model))


def params_of(model, batch):
    return random_params(lambda key: model.init(key, batch, key, method="loss"))


def terms_of(model):
    def terms(params, batch):
        return model.apply(params, batch, jax.random.key(2), method="loss")[0]

    return terms


def test_loss_against_hand_worked_values(policy):
    # All parameters zero: both predictions are 0. One row, two real steps of the chunk, three
    # label dimensions, all labels 0.9: 0.1 * 3 * (0.9/0.9)^2 = 0.3 for the first prediction and
    # 0.1 * 3 * (0.9/0.1)^2 = 24.3 for the second; eight actions of 2, twice 8 * 4 = 64.
    _, params, batch, terms_of = policy
    zero = jax.tree.map(jnp.zeros_like, params)
    batch = {
        **batch,
        "label": jnp.full((4, 5, 3), 0.9),
        "action": jnp.full((4, 5, 8), 2.0),
        "valid": jnp.array([[1.0, 1, 0, 0, 0]] * 4),
    }
    terms = terms_of(zero, batch)
    np.testing.assert_allclose(terms["first"], 0.3, rtol=1e-5)
    np.testing.assert_allclose(terms["second"], 24.3, rtol=1e-5)
    np.testing.assert_allclose(terms["action"], 64.0, rtol=1e-5)


def test_padded_steps_of_a_chunk_do_not_count(policy):
    _, params, batch, terms_of = policy
    valid = jnp.array([[1.0, 1, 1, 0, 0]] * 4)
    padded = valid[..., None] == 0
    # The teacher-forced second prediction reads the whole chunk: only the errors are masked.
    one = {**batch, "valid": valid}
    two = {**one, "action": jnp.where(padded, 1e6, batch["action"])}
    jax.tree.map(np.testing.assert_array_equal, terms_of(params, one), terms_of(params, two))


def test_actions_of_auxiliary_rows_do_not_count(policy):
    _, params, batch, terms_of = policy
    weights = {"first": 0.0, "second": 0.0, "action": 1.0}

    @jax.jit
    @jax.grad
    def gradient(params, batch):
        terms = terms_of(params, batch)
        return losses.reduce_terms(terms, mip.MipPolicy.term_rows, weights, batch["is_target"])[0]

    rows = (batch["is_target"] == 0)[:, None, None]
    other = {**batch, "action": jnp.where(rows, 9.0, batch["action"])}
    one, two = gradient(params, batch), gradient(params, other)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(one)) > 0
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_acting_is_two_network_calls_clipped_to_the_labels_range_and_the_decoder(policy, scale):
    model, params, batch, _ = policy
    params = jax.tree.map(lambda leaf: leaf, params)
    head = params["params"]["network"]
    last = max(head, key=lambda name: int(name.split("_")[1]) if "Dense" in name else -1)
    head[last] = jax.tree.map(lambda leaf: leaf * scale, head[last])

    def by_hand(module, batch):
        condition = module.condition_on(batch)
        first = module.network(jnp.zeros((4, 5, 3)), 0.0, condition)
        second = module.network(jnp.clip(first, -1, 1), 0.9, condition)
        return module.action_decoder(jnp.clip(second, -1, 1)), jnp.abs(second).max()

    expected, largest = jax.jit(lambda p: model.apply(p, batch, method=by_hand))(params)
    found = jax.jit(lambda p: model.apply(p, batch, method="act"))(params)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (largest > 1) == (scale > 1)
    assert found.shape == (4, 5, 8)


def test_baseline_predicts_actions_without_a_decoder():
    model, batch = small_policy(action_decoder=None, label_dim=8), chunk_batch(8)
    params = params_of(model, batch)
    assert "action_decoder" not in params["params"]
    act = jax.eval_shape(lambda: model.apply(params, batch, method="act"))
    assert act.shape == (4, 5, 8)
    np.testing.assert_array_equal(jax.jit(terms_of(model))(params, batch)["action"], 0.0)


def test_joint_proprioception_is_zeroed_and_flagged_on_auxiliary_rows():
    model, batch = small_policy(proprio="joints"), chunk_batch()
    params = params_of(model, batch)
    condition = jax.jit(lambda p: model.apply(p, batch, method="condition_on"))(params)
    np.testing.assert_array_equal(condition[1, 6:], 0.0)
    np.testing.assert_array_equal(condition[0, 6:14], batch["proprio"][0])
    np.testing.assert_array_equal(condition[:, -1], batch["is_target"])


def test_images_of_another_number_of_views_are_refused(policy):
    model, params, batch, _ = policy
    alone = {**batch, "image": batch["image"][:, :1]}
    with pytest.raises(AssertionError, match="shape"):
        jax.eval_shape(lambda: model.apply(params, alone, method="act"))
