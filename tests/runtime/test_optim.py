"""The optimizer's schedule and decay, and the moving average of parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from glam_jax.runtime import optim


@pytest.fixture
def params():
    return {
        "dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)},
        "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
        "views": {"bias": jnp.ones((2, 4))},
    }


def test_schedule_warms_up_and_ends_at_zero():
    schedule = optim.make_schedule(learning_rate=0.4, warmup_steps=10, steps=110)
    assert schedule(0) == 0
    np.testing.assert_allclose(schedule(5), 0.2, rtol=1e-6)
    np.testing.assert_allclose(schedule(10), 0.4, rtol=1e-6)
    np.testing.assert_allclose(schedule(60), 0.2, rtol=1e-6)  # half of the cosine
    np.testing.assert_allclose(schedule(110), 0.0, atol=1e-8)


def test_schedule_without_warm_up_starts_at_its_peak():
    np.testing.assert_allclose(optim.make_schedule(0.4, 0, 10)(0), 0.4, rtol=1e-6)


def test_only_kernels_decay(params):
    assert optim.decayed(params) == {
        "dense": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "views": {"bias": False},
    }


@pytest.mark.parametrize("matrices", [0.0, 0.1])
def test_decay_moves_kernels_and_nothing_else(params, matrices):
    optimizer = optim.make_optimizer(
        learning_rate=0.1, matrix_learning_rate=matrices, steps=10, weight_decay=0.5
    )
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["dense"]["kernel"], -0.05, rtol=1e-6)
    still = (updates["dense"]["bias"], updates["norm"]["scale"], updates["views"]["bias"])
    assert not any(leaf.any() for leaf in still)


def test_clip_bounds_the_gradient_before_adam():
    """Adam undoes a constant scale, so a clipped outlier must show in its memory."""
    params, steps = {"kernel": jnp.zeros((1, 1))}, 10
    gradients = {"kernel": jnp.full((1, 1), 1e6)}
    moments = {}
    for clip in (1.0, 1e9):
        optimizer = optim.make_optimizer(learning_rate=0.1, steps=steps, clip=clip)
        _, opt_state = optimizer.update(gradients, optimizer.init(params), params)
        moments[clip] = float(optax.tree.get(opt_state, "mu")["kernel"][0, 0])
    np.testing.assert_allclose(moments[1.0], 0.1, rtol=1e-5)  # (1 - b1) * clip
    np.testing.assert_allclose(moments[1e9], 1e5, rtol=1e-5)


def test_matrices_with_their_own_rate_take_orthogonal_steps(params):
    """Muon's update has singular values of about 1, whatever those of the gradient."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(2))
    gradient = (left * [1e2, 30, 10, 3, 1, 0.3]) @ right
    params = {"dense": {"kernel": jnp.zeros((6, 6)), "bias": jnp.zeros(6)}}
    gradients = {"dense": {"kernel": jnp.asarray(gradient, jnp.float32), "bias": jnp.ones(6)}}
    optimizer = optim.make_optimizer(
        learning_rate=0.01, matrix_learning_rate=0.5, steps=10, clip=1e9
    )
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    values = np.linalg.svd(updates["dense"]["kernel"], compute_uv=False) / 0.5
    assert values.max() < 1.5 and values[:4].min() > 0.4, values
    # Adam's first step is its rate, here times b1 (1 - b1) / (1 - b1^2) + 1 (Nesterov).
    np.testing.assert_allclose(updates["dense"]["bias"], -0.01 * (0.9 / 1.9 + 1.0), rtol=1e-3)


@pytest.mark.parametrize("most", [1, optim.STACKED_ON_CPU])
def test_matrices_together_move_as_one_by_one(monkeypatch, most):
    """Stacked by shape, wide and tall, Muon's updates and state are optax's of each matrix."""
    monkeypatch.setattr(optim, "STACKED_ON_CPU", most)
    rng = np.random.default_rng(0)

    def draw():
        shapes = {"a": (6, 4), "b": (4, 6), "c": (6, 4), "d": (5, 5)}
        return {
            k: {"kernel": jnp.asarray(rng.normal(size=s), jnp.float32)} for k, s in shapes.items()
        }

    settings = {"warmup_steps": 0, "steps": 10, "clip": 1e9, "weight_decay": 0.1}
    ours = optim.make_optimizer(learning_rate=0.1, matrix_learning_rate=0.1, **settings)
    theirs = optax.contrib.muon(
        optim.make_schedule(0.1, 0, 10), ns_steps=3, preconditioning="aol", weight_decay=0.1
    )
    params = draw()
    state, expected = ours.init(params), theirs.init(params)
    for gradients in (draw(), draw(), draw()):
        updates, state = ours.update(gradients, state, params)
        wanted, expected = theirs.update(gradients, expected, params)
        chex.assert_trees_all_close(updates, wanted, rtol=1e-5, atol=1e-6)


def test_average_follows_the_hand_worked_rule():
    optimizer = optax.sgd(1.0)
    state = optim.init_state({"w": jnp.array(0.0)}, optimizer)
    gradients = {"w": jnp.array(-1.0)}  # params become 1, then 2
    state = optim.apply_gradients(state, gradients, optimizer, ema_decay=0.999)
    np.testing.assert_allclose(state.ema["w"], 0.9, rtol=1e-6)  # d = 1/10
    state = optim.apply_gradients(state, gradients, optimizer, ema_decay=0.999)
    np.testing.assert_allclose(state.ema["w"], 0.9 * 2 / 11 + 2 * 9 / 11, rtol=1e-6)  # d = 2/11
    assert int(state.step) == 2


def test_average_decay_is_capped():
    optimizer = optax.sgd(1.0)
    state = optim.init_state({"w": jnp.array(0.0)}, optimizer).replace(step=jnp.int32(10**6))
    state = optim.apply_gradients(state, {"w": jnp.array(-1.0)}, optimizer, ema_decay=0.75)
    np.testing.assert_allclose(state.ema["w"], 0.25, rtol=1e-6)


def test_state_shares_no_buffer():
    """A donated state may hold no buffer twice, and may not take the caller's."""
    params = {"w": jnp.ones(4)}
    optimizer = optim.make_optimizer(learning_rate=0.1, steps=10)
    state = optim.init_state(params, optimizer)
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state, params))]
    assert len(set(buffers)) == len(buffers)


@pytest.mark.parametrize(
    "wrong",
    [{"warmup_steps": 10}, {"warmup_steps": -1}, {"clip": 0.0}, {"matrix_learning_rate": -1.0}],
)
def test_wrong_values_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        optim.make_optimizer(learning_rate=0.1, steps=10, **wrong)
