"""What is written for XLA's CPU backend computes what the plain formulas do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.models import cpu, layers


@pytest.fixture(scope="module", params=[2, 70])
def image(request):
    """Few images, and more than one chunk of a kernel's gradient."""
    return jax.random.normal(jax.random.key(0), (request.param, 8, 6, 3))


def assert_same_gradients(ours, laxs, *arguments):
    """Values and both gradients of two functions agree."""

    def pair(f):
        gradients = jax.grad(lambda *a: jnp.sum(jnp.sin(f(*a))), (0, 1))
        return jax.jit(lambda *a: (f(*a), gradients(*a)))(*arguments)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        pair(ours),
        pair(laxs),
    )


def halved(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_halving_convolution_equals_laxs_forward_and_backward(image):
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 3, 5))
    assert_same_gradients(cpu.halving_conv, halved, image, kernel)


def test_doubling_convolution_equals_laxs_forward_and_backward(image):
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 5, 3))

    def native(x, kernel):
        return jax.lax.conv_transpose(
            x,
            kernel,
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            transpose_kernel=True,
        )

    assert_same_gradients(cpu.doubling_conv, native, image, kernel)


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(3, 4, [3]), (9, 4, [4, 4, 1]), (10, 1, [4, 4, 2]), (1, 1, [1]), (0, 4, [0])],
)
def test_chunks_hold_every_row_once_and_are_not_too_many(count, size, sizes):
    rows = np.arange(count)
    found = [rows[part] for part in cpu.chunks(count, size, most=3)]
    assert [len(part) for part in found] == sizes
    np.testing.assert_array_equal(np.concatenate(found), rows)


def test_only_a_cpu_works_in_chunks(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cpu.chunks(9, 4) == [slice(0, 9)]


def test_an_encoder_in_chunks_is_the_same_forward_and_backward():
    model = layers.ConvEncoder((4, 8), 6)
    image = jax.random.uniform(jax.random.key(0), (7, 16, 16, 2))
    params = model.init(jax.random.key(1), image)

    def pair(encode):
        gradient = jax.grad(lambda p: jnp.sum(jnp.sin(encode(p))))
        return jax.jit(lambda p: (encode(p), gradient(p)))(params)

    found = pair(lambda p: cpu.in_chunks(model.bind(p), image, 2))
    expected = pair(lambda p: model.apply(p, image))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )


def test_a_backward_pass_in_chunks_copies_no_image_in_the_forward_pass():
    model = layers.ConvEncoder((8, 16), 4)
    image = jax.ShapeDtypeStruct((64, 64, 64, 2), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), image)

    def loss(params, image):
        y = cpu.in_chunks(model.bind(params), image, 8)
        return jnp.sum((y - y.mean(axis=0)) ** 2)

    memory = jax.jit(jax.grad(loss)).lower(params, image).compile().memory_analysis()
    saved = 4 * 64 * (32 * 32 * 8 + 16 * 16 * 16)  # what both convolutions leave
    assert memory.temp_size_in_bytes < 2.25 * saved


def test_local_convolution_equals_xlas_forward_and_backward(image):
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 5))

    def native(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert_same_gradients(cpu.local_conv, native, image, kernel)


def test_mish_against_hand_worked_values():
    # x tanh(log(1 + e^x)): 0 at 0; 1 * tanh(log(1 + e)) = tanh(1.3132617) at 1.
    np.testing.assert_allclose(cpu.mish(jnp.array([0.0, 1.0])), [0.0, 0.8650983], rtol=1e-6)


def test_mish_and_its_gradient_equal_jaxs_up_to_where_exponentials_overflow():
    x = jnp.concatenate([jnp.linspace(-30.0, 30.0, 241), jnp.array([-1e3, 1e3])])
    for ours, jaxs in (
        (cpu.mish, jax.nn.mish),
        (jax.vmap(jax.grad(cpu.mish)), jax.vmap(jax.grad(jax.nn.mish))),
    ):
        np.testing.assert_allclose(ours(x), jaxs(x), rtol=1e-5, atol=1e-6)
