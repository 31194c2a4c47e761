"""As many cameras as the data have: from the store through both models to actions."""

import chex
import jax
import numpy as np
import pytest

from glam_jax import config, schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.stages import clone, pretrain, units, world_model

DRAW = feeds.Draw(batch=4, target_share=0.5, seed=0, resident=True)
ROWS = feeds.target_rows(DRAW.batch, DRAW.target_share)


@pytest.fixture(scope="module", params=[("wrist",), ("front", "overhead", "wrist")])
def store(request):
    target, auxiliary = (
        schema.Layout(1, 64, has_actions, views=request.param) for has_actions in (True, False)
    )
    umi = schema.fake_episode(auxiliary, 12, 1, source="umi")
    return Store([schema.fake_episode(target, 12)], [umi])


def gradient_of(loss, feed, params, stats):
    """Shapes of a loss and its gradient on a batch of a feed."""
    batch = jax.eval_shape(feed.assemble, feed.fetch(0), 0)
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    return jax.eval_shape(value_and_grad, params, batch, jax.random.key(0), stats)


@pytest.mark.parametrize("method", ["glam", "glam_o"])
def test_the_world_model_sees_all_views(store, method):
    made = config.make("lifting", f"method={method},scale=quick")
    stats, model = normalize.statistics(store), world_model.build(made, store.layout)
    params = jax.eval_shape(lambda: pretrain.init_params(model, store.layout, 0))
    loss = pretrain.make_loss(model, made.pretrain.weights.to_dict(), ROWS)
    (total, _), gradient = gradient_of(
        loss, feeds.WindowFeed(store, DRAW, 3, model.modality), params, stats
    )
    chex.assert_shape(total, ())
    chex.assert_trees_all_equal_shapes(gradient, params)
    images = jax.ShapeDtypeStruct((2, 5, *store.layout.image_shape(model.modality)), np.uint8)
    out = jax.eval_shape(lambda p, x: model.apply(p, x, method="reconstruct"), params, images)
    chex.assert_shape(out, images.shape)


def test_the_policy_sees_each_view_by_an_encoder_of_its_own(store):
    made, views = config.make("lifting", "method=mip,scale=quick"), len(store.layout.views)
    labels = store.transition_actions()
    stats = units.label_statistics(labels, normalize.statistics(store), latent=True)
    model = clone.build(made, store.layout, labels.shape[1])
    params = jax.eval_shape(lambda: clone.init_params(model, store.layout, 0))
    encoders = {name for name in params["params"]["vision"] if name.startswith("view_")}
    assert encoders == {f"view_{i}" for i in range(views)}
    loss = clone.make_loss(model, made.clone.weights.to_dict(), ROWS)
    feed = feeds.ChunkFeed(store, DRAW, labels, made.policy.chunk)
    _, gradient = gradient_of(loss, feed, params, stats)
    chex.assert_trees_all_equal_shapes(gradient, params)
    seen = next(feeds.chunk_batches(store, 4, made.policy.chunk))
    act = clone.make_act(model)
    actions = jax.eval_shape(act, {"params": params, "stats": stats}, seen, None)
    chex.assert_shape(actions, (4, made.policy.chunk, 8))
