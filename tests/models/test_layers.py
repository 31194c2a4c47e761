import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.models import layers, vision


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
    np.testing.assert_allclose(jnp.std(y, axis=-1), layers.FEATURE_SCALE, rtol=1e-2)


def test_residual_mlp_without_blocks_is_linear():
    mlp = layers.ResMLP(0, 7)
    x = jax.random.normal(jax.random.key(0), (2, 3))
    out, params = jax.jit(mlp.init_with_output)(jax.random.key(1), x)
    dense = params["params"]["Dense_0"]
    np.testing.assert_allclose(out, x @ dense["kernel"] + dense["bias"], rtol=1e-6)


def test_centre_of_mass_is_the_mean_position_of_what_fires():
    x = np.zeros((1, 5, 5, 2), np.float32)
    x[0, 1, 4, 0], x[0, 1, 0, 0] = 3e4, 1e4  # three quarters on the right
    # Columns 0 and 4 of 5 are -1 and 1, row 1 of 5 is -0.5; a silent channel is in the middle.
    expected = [[0.5, 0.0, -0.5, 0.0]]
    np.testing.assert_allclose(vision.centre_of_mass(x), expected, atol=1e-4)
