"""Small systems solved without LAPACK, and the integrator that needs them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mujoco import mjx

from glam_jax.sim import linear
from glam_jax.sim.env import make_env, simulation_options


@pytest.mark.parametrize("size", [1, 6, 9])
def test_the_solution_is_numpys(rng, size):
    half = rng.normal(size=(4, 2, size, size))
    matrix = half @ half.swapaxes(-1, -2) + 0.1 * np.eye(size)
    right = rng.normal(size=(4, 2, size))
    expected = np.linalg.solve(matrix, right[..., None])[..., 0]
    found = linear.solve(jnp.asarray(matrix, jnp.float32), jnp.asarray(right, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_a_step_of_physics_is_mjxs():
    env = make_env("lifting", "kinova")
    data = env.reset(jax.random.key(0)).data
    moving = 0.5 * jax.random.normal(jax.random.key(1), data.qvel.shape)
    data = data.replace(qvel=moving, ctrl=data.ctrl + 0.1)
    with jax.default_matmul_precision("highest"):
        theirs = jax.jit(mjx.step, compiler_options=simulation_options())
        ours = jax.jit(env._substep, compiler_options=simulation_options())(data)
        expected = theirs(mjx.put_model(env.mj_model), data)
    for name in ("qpos", "qvel", "qacc_warmstart", "time"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(expected, name), rtol=1e-5, atol=1e-5, err_msg=name
        )


LAPACK = {"cholesky", "lu", "triangular_solve", "householder_product", "eigh", "svd"}


def lapack_calls(jaxpr):
    """Names of the primitives in a jaxpr, and in those inside it, that CPU leaves to LAPACK."""
    found = []
    for equation in jaxpr.eqns:
        found += [equation.primitive.name] if equation.primitive.name in LAPACK else []
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            found += lapack_calls(inner) if hasattr(inner, "eqns") else []
    return found


def test_nothing_but_mjxs_own_solver_calls_lapack():
    """Two such calls that run at once hang a machine of two cores; MJX's forward step has one
    after the other, its integrator has one beside them."""
    env = make_env("stack_three", "kinova")
    state = jax.eval_shape(env.reset, jax.random.key(0))
    forward = jax.make_jaxpr(lambda s: mjx.forward(mjx.put_model(env.mj_model), s.data))(state)
    step = jax.make_jaxpr(lambda s: env._substep(s.data))(state)
    assert lapack_calls(step.jaxpr) == lapack_calls(forward.jaxpr)
    assert "cholesky" in lapack_calls(forward.jaxpr)
    assert not lapack_calls(jax.make_jaxpr(env.reset)(jax.random.key(0)).jaxpr)
