"""A simulated robot that asks the server over a socket goes where `evaluate` says that it goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from point_world import PointWorld
from running_server import running

from glam_jax.client import Actor, PolicyClient
from glam_jax.evaluation.rollout import rollout
from glam_jax.serve import border
from glam_jax.serve.actions import Receding
from glam_jax.serve.limits import Limits
from glam_jax.serve.session import Service

WORLD = PointWorld()
SEEDS, EXECUTE, CHUNK = [1_000_000, 1_000_001, 7], 4, 6
LOW, HIGH = np.full(8, -0.5, np.float32), np.full(8, 0.45, np.float32)


def act(params, observation, keys):
    """A goal of its own for each step of a chunk, nearer and nearer to the true one."""
    here, goal = observation["ee_pose"][:, None, :3], observation["proprio"][:, None, :3]
    share = jnp.linspace(0.5, 1.0, CHUNK)[None, :, None]
    return jnp.pad(here + share * (goal - here), ((0, 0), (0, 0), (0, 5)))


def policy(seen):
    batch = {name: seen[name][None] for name in ("ee_pose", "proprio")}
    return np.asarray(act(None, batch, None)[0])


@pytest.fixture(scope="module")
def port():
    service = Service(
        read=functools.partial(border.check, spec=border.observation_spec(WORLD.layout)),
        policy=policy,
        measured=lambda seen: None,
        limits=Limits(LOW, HIGH, np.full(8, np.inf, np.float32)),
        make_execution=functools.partial(Receding, EXECUTE),
        forget_s=100.0,
        metadata={},
    )
    with running(service) as (_, port):
        yield port


@jax.jit
def observe(state):
    seen = {"ee_pose": WORLD.ee_pose(state), "proprio": WORLD.proprio(state)}
    return WORLD.render(WORLD.sight(state)) | seen


def episode(actor, seed):
    """Success and the path (T, 3) of one start, its actions asked for over the socket."""
    state, step, path = WORLD.reset(jax.random.key(seed)), jax.jit(WORLD.step), []
    actor.reset()
    for _ in range(WORLD.horizon):
        path.append(np.asarray(WORLD.ee_pose(state))[:3])
        state = step(state, actor.act(jax.device_get(observe(state)) if actor.asks else None))
    return bool(WORLD.success(state)), np.stack(path)


def test_the_loop_over_the_socket_is_the_loop_of_evaluation(port):
    def within(*seen):
        return jnp.clip(act(*seen), LOW, HIGH)

    expected = rollout(WORLD, within, None, SEEDS, execute=EXECUTE)
    with PolicyClient(port=port) as client:
        found = [episode(Actor(client), seed) for seed in SEEDS]
    assert [success for success, _ in found] == expected.success.tolist()
    np.testing.assert_allclose([path for _, path in found], expected.ee_position, atol=1e-5)
    # A bound, a goal beyond it, and a goal within: the comparison has something to compare.
    assert 0 < expected.success.sum() < len(SEEDS) and expected.actions.max() == HIGH[0]
