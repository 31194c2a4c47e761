"""How images are changed in training."""

import jax
import jax.numpy as jnp
import numpy as np

from glam_jax.models import augment


def test_random_shift_moves_each_view_and_within_bounds():
    image = jnp.arange(2 * 1 * 6 * 6).reshape(1, 2, 6, 6, 1).astype(jnp.uint8)
    row_B = jnp.zeros(1, jnp.int32)
    shift = jax.jit(lambda seed: augment.random_shift(image, 1, jax.random.key(seed), row_B))
    seen, together = [set(), set()], 0
    for seed in range(60):
        centre = np.asarray(shift(seed))[0, :, 2, 2, 0].astype(int) - (0, 36)
        for view, pixel in zip(seen, centre, strict=True):
            view.add(divmod(int(pixel) - 14 + 7, 6))
        together += centre[0] == centre[1]
    assert seen[0] == seen[1] == {(dy, dx) for dy in (0, 1, 2) for dx in (0, 1, 2)}
    assert together < 20, "views shifted alike"
    assert augment.random_shift(image, 0, jax.random.key(0), row_B) is image


def test_random_shading_is_smooth_and_of_the_deviation_asked():
    image = jnp.full((32, 2, 32, 32, 3), 100, jnp.uint8)
    rows = jnp.arange(32, dtype=jnp.int32)
    shade = jax.jit(lambda x, row: augment.random_shading(x, 0.25, jax.random.key(0), row))
    out = np.asarray(shade(image, rows))
    field = out / 100 - 1
    assert 0.17 < field.std() < 0.28 and abs(field.mean()) < 0.02
    steps = np.abs(np.diff(field, axis=2)).mean() / field.std()
    assert steps < 0.25, "not smooth"
    for one, other in ((0, 1), (slice(None), slice(None))):  # rows, then views and colours
        assert np.abs(field[one] - field[other, ::-1]).max() > 0.1
    # A piece of the batch is shaded as it is in the whole.
    np.testing.assert_allclose(shade(image[20:], rows[20:]), out[20:], rtol=1e-6)
    assert augment.random_shading(image, 0.0, jax.random.key(0), rows) is image


def test_random_colours_are_a_gain_and_a_lift_of_each_row_alike_in_both_views():
    image = np.zeros((64, 2, 1, 2, 3), np.uint8)
    image[:, :, :, 1] = 100  # a black and a grey pixel
    rows = jnp.arange(64, dtype=jnp.int32)
    recolour = jax.jit(lambda x, row: augment.random_colours(x, 0.3, jax.random.key(0), row))
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
    assert augment.random_colours(image, 0.0, jax.random.key(0), rows) is image
