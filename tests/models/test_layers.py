import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.models import layers, vision


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
    assert_same_gradients(layers.halving_conv, halved, image, kernel)


# Blocks of 2 x 8, 4, 2 and 2 pixels: as wide as 16 channels allow and the width divides.
@pytest.mark.parametrize("shape", [(8, 16, 1), (2, 4, 2), (4, 6, 2), (6, 10, 4)])
def test_halving_by_blocks_equals_laxs(shape):
    image = jax.random.normal(jax.random.key(0), (2, *shape))
    kernel = jax.random.normal(jax.random.key(1), (4, 4, shape[-1], 8))
    assert_same_gradients(layers.halving_conv, halved, image, kernel)


def test_only_a_cpu_halves_few_channels_by_blocks(monkeypatch):
    def strides(channels, features):
        shapes = (1, 8, 8, channels), (4, 4, channels, features)
        traced = jax.make_jaxpr(layers.halving_conv)(*map(jnp.zeros, shapes))
        return "window_strides=(2, 2)" in str(traced)

    assert not strides(2, 8) and strides(5, 8) and strides(2, 9)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert strides(2, 7)  # of other shapes, for what was traced before is kept


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

    assert_same_gradients(layers.doubling_conv, native, image, kernel)


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(3, 4, [3]), (9, 4, [4, 4, 1]), (10, 1, [4, 4, 2]), (1, 1, [1]), (0, 4, [0])],
)
def test_chunks_hold_every_row_once_and_are_not_too_many(count, size, sizes):
    rows = np.arange(count)
    found = [rows[part] for part in layers.chunks(count, size, most=3)]
    assert [len(part) for part in found] == sizes
    np.testing.assert_array_equal(np.concatenate(found), rows)


def test_only_a_cpu_works_in_chunks(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert layers.chunks(9, 4) == [slice(0, 9)]


def test_an_encoder_in_chunks_is_the_same_forward_and_backward():
    model = layers.ConvEncoder((4, 8), 6)
    image = jax.random.uniform(jax.random.key(0), (7, 16, 16, 2))
    params = model.init(jax.random.key(1), image)

    def pair(encode):
        gradient = jax.grad(lambda p: jnp.sum(jnp.sin(encode(p))))
        return jax.jit(lambda p: (encode(p), gradient(p)))(params)

    found = pair(lambda p: layers.in_chunks(model.bind(p), image, 2))
    expected = pair(lambda p: model.apply(p, image))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )


def test_a_backward_pass_in_chunks_copies_no_image_in_the_forward_pass():
    model = layers.ConvEncoder((8, 16), 4)
    image = jax.ShapeDtypeStruct((64, 64, 64, 2), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), image)

    def loss(params, image):
        y = layers.in_chunks(model.bind(params), image, 8)
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

    assert_same_gradients(layers.local_conv, native, image, kernel)


def test_patches_keep_their_pixels_together():
    image = jnp.arange(4 * 6 * 3).reshape(1, 4, 6, 3)
    out = layers.patches(image, 2)
    assert out.shape == (1, 2, 3, 12)
    np.testing.assert_array_equal(out[0, 1, 2], image[0, 2:4, 4:6].reshape(-1))


def test_image_encoder_halves_four_times_and_decoder_restores_the_size():
    encoder = layers.ConvEncoder((4, 8, 8, 8), 16)
    decoder = layers.ConvDecoder((4, 8, 8, 8), 32, 2)
    image = jax.ShapeDtypeStruct((3, 32, 32, 2), jnp.float32)
    y, params = jax.eval_shape(
        lambda k, x: encoder.init_with_output(k, x), jax.random.key(0), image
    )
    assert y.shape == (3, 16)
    assert params["params"]["Dense_0"]["kernel"].shape == (2 * 2 * 8, 16)
    out, _ = jax.eval_shape(lambda k, x: decoder.init_with_output(k, x), jax.random.key(0), y)
    assert out.shape == (3, 32, 32, 2)


def test_visual_feature_has_a_fixed_scale():
    encoder = layers.ConvEncoder((4, 4, 4, 4), 16)
    image = jax.random.uniform(jax.random.key(0), (3, 16, 16, 2))
    y, _ = jax.jit(encoder.init_with_output)(jax.random.key(1), image)
    np.testing.assert_allclose(jnp.std(y, axis=-1), encoder.scale, rtol=1e-2)


def test_residual_mlp_without_blocks_is_linear():
    mlp = layers.ResMLP(0, 7)
    x = jax.random.normal(jax.random.key(0), (2, 3))
    out, params = jax.jit(mlp.init_with_output)(jax.random.key(1), x)
    dense = params["params"]["Dense_0"]
    np.testing.assert_allclose(out, x @ dense["kernel"] + dense["bias"], rtol=1e-6)


def test_mish_against_hand_worked_values():
    # x tanh(log(1 + e^x)): 0 at 0; 1 * tanh(log(1 + e)) = tanh(1.3132617) at 1.
    np.testing.assert_allclose(layers.mish(jnp.array([0.0, 1.0])), [0.0, 0.8650983], rtol=1e-6)


def test_mish_and_its_gradient_equal_jaxs_up_to_where_exponentials_overflow():
    x = jnp.concatenate([jnp.linspace(-30.0, 30.0, 241), jnp.array([-1e3, 1e3])])
    for ours, jaxs in (
        (layers.mish, jax.nn.mish),
        (jax.vmap(jax.grad(layers.mish)), jax.vmap(jax.grad(jax.nn.mish))),
    ):
        np.testing.assert_allclose(ours(x), jaxs(x), rtol=1e-5, atol=1e-6)


def test_centre_of_mass_is_the_mean_position_of_what_fires():
    x = np.zeros((1, 5, 5, 2), np.float32)
    x[0, 1, 4, 0], x[0, 1, 0, 0] = 3e4, 1e4  # three quarters on the right
    # Columns 0 and 4 of 5 are -1 and 1, row 1 of 5 is -0.5; a silent channel is in the middle.
    expected = [[0.5, 0.0, -0.5, 0.0]]
    np.testing.assert_allclose(vision.centre_of_mass(x), expected, atol=1e-4)


def test_random_shift_moves_both_views_alike_and_within_bounds():
    image = jnp.arange(2 * 1 * 6 * 6).reshape(1, 2, 6, 6, 1).astype(jnp.uint8)
    row_B = jnp.zeros(1, jnp.int32)
    shift = jax.jit(lambda seed: vision.random_shift(image, 1, jax.random.key(seed), row_B))
    seen = set()
    for seed in range(40):
        out = np.asarray(shift(seed))[0, :, 2, 2, 0]
        dy, dx = divmod(int(out[0]) - 14 + 7, 6)
        assert out[1] - out[0] == 36, "views shifted apart"
        seen.add((dy, dx))
    assert seen == {(dy, dx) for dy in (0, 1, 2) for dx in (0, 1, 2)}
    np.testing.assert_array_equal(vision.random_shift(image, 0, jax.random.key(0), row_B), image)


def test_random_shading_is_smooth_and_of_the_deviation_asked():
    image = jnp.full((32, 2, 32, 32, 3), 100, jnp.uint8)
    rows = jnp.arange(32, dtype=jnp.int32)
    shade = jax.jit(lambda x, row: vision.random_shading(x, 0.25, jax.random.key(0), row))
    out = np.asarray(shade(image, rows))
    field = out / 100 - 1
    assert 0.17 < field.std() < 0.28 and abs(field.mean()) < 0.02
    steps = np.abs(np.diff(field, axis=2)).mean() / field.std()
    assert steps < 0.25, "not smooth"
    for one, other in ((0, 1), (slice(None), slice(None))):  # rows, then views and colours
        assert np.abs(field[one] - field[other, ::-1]).max() > 0.1
    # A piece of the batch is shaded as it is in the whole.
    np.testing.assert_allclose(shade(image[20:], rows[20:]), out[20:], rtol=1e-6)
    np.testing.assert_array_equal(vision.random_shading(image, 0.0, jax.random.key(0), rows), image)


def test_random_colours_are_a_gain_and_a_lift_of_each_row_alike_in_both_views():
    image = np.zeros((64, 2, 1, 2, 3), np.uint8)
    image[:, :, :, 1] = 100  # a black and a grey pixel
    rows = jnp.arange(64, dtype=jnp.int32)
    recolour = jax.jit(lambda x, row: vision.random_colours(x, 0.3, jax.random.key(0), row))
    out = np.asarray(recolour(image, rows))
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    lift, gain = out[:, 0, 0, 0], (out[:, 0, 0, 1] - out[:, 0, 0, 0]) / 100
    assert np.ptp(lift, axis=1).max() < 1e-4, "channels lifted apart"
    for drawn, middle, most in ((lift, 0.0, 127.5 * 0.3), (gain, 1.0, 0.3)):
        off = np.abs(drawn - middle)
        assert 0.9 * most < off.max() <= most * 1.0001
        assert len(np.unique(drawn.round(5))) > 60
    # A piece of the batch has the colours that it has in the whole.
    np.testing.assert_array_equal(recolour(image[40:], rows[40:]), out[40:])
    np.testing.assert_array_equal(vision.random_colours(image, 0.0, jax.random.key(0), rows), image)
