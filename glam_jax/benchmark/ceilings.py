"""What this machine can do at most, and the fixed computation that others are set against."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from glam_jax.benchmark import clock

DTYPES = ("float32", "bfloat16")
REPEATS = 5
REFERENCE = (
    "float32: two products of 1024 x 1024 with a tanh between, and a 3 x 3 convolution of "
    "32 images of 64 x 64 from 16 to 32 channels"
)
# Side of the square matrices, and MiB that are copied: large enough that calling and caches do
# not show.
_SIZES = {"cpu": (1024, 256), "accelerator": (8192, 1024)}


def measure() -> dict:
    """What the default device can do, by the fastest of `REPEATS` each.

    Returns:
      `flops_per_s`, dtype -> operations per second of one large matrix product; `bytes_per_s`,
      read and written by copying one large array.
    """
    side, mebibytes = _SIZES["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    flops = {}
    for dtype in DTYPES:
        a = jnp.ones((side, side), dtype)
        product = functools.partial(jax.jit(jnp.matmul), a, a)
        flops[dtype] = 2.0 * side**3 / min(clock.repeat(product, repeats=REPEATS).seconds)
    return {"flops_per_s": flops, "bytes_per_s": _copied(mebibytes)}


def _copied(mebibytes: int) -> float:
    """Bytes per second, read and written, of an array that is negated in place: new memory would
    be paid for page by page."""
    x = jnp.ones((mebibytes << 18,), jnp.float32)
    negate = jax.jit(jnp.negative, donate_argnums=0)

    def run():
        nonlocal x
        x = negate(x)
        return x

    return 2.0 * x.nbytes / min(clock.repeat(run, repeats=REPEATS, warm_up=2).seconds)


@functools.cache
def reference() -> Callable[[], jax.Array]:
    """The fixed computation `REFERENCE`, compiled: call it to run it once.

    Its time is what results of different days are divided by. Changing it makes all older results
    incomparable.
    """
    draw = functools.partial(jax.random.normal, dtype=jnp.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    matrix = draw(keys[0], (1024, 1024)) / math.sqrt(1024)
    images, kernel = draw(keys[1], (32, 64, 64, 16)), draw(keys[2], (3, 3, 16, 32))

    @jax.jit
    def mix(matrix, images, kernel):
        product = jnp.tanh(matrix @ matrix) @ matrix
        seen = jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return product, seen

    return functools.partial(mix, matrix, images, kernel)
