"""The simulated tasks as a gymnasium VectorEnv."""

import jax
import numpy as np
import pytest

pytest.importorskip("gymnasium")

from gymnasium.vector import AutoresetMode  # noqa: E402

from glam_jax.sim import env as simulation  # noqa: E402
from glam_jax.sim.vector_env import TaskVectorEnv  # noqa: E402

SEED = 900_000
SHORT = 3


@pytest.fixture(scope="module")
def envs():
    """Two worlds of lifting, whose episodes are cut after three steps."""
    made = TaskVectorEnv("lifting", "kinova", num_envs=2, image_size=16)
    horizon, made._env.horizon = made._env.horizon, SHORT
    yield made
    made._env.horizon = horizon  # the object is shared by all who ask for this world


@pytest.mark.slow
def test_episodes_are_cut_at_the_horizon_and_begin_anew(envs):
    first, info = envs.reset(seed=SEED)
    assert info["seed"].tolist() == [SEED, SEED + 1]
    assert first in envs.observation_space
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    hold = first["proprio"]
    for step in range(1, SHORT + 1):
        seen, reward, terminated, truncated, info = envs.step(hold)
        assert truncated.tolist() == [step == SHORT] * 2
        assert not terminated.any() and (reward == 0).all() and not info["success"].any()
    assert seen in envs.observation_space
    # This step begins the next episodes, whatever the action.
    seen, reward, terminated, truncated, info = envs.step(hold + 1)
    assert not truncated.any() and not terminated.any()
    assert info["_seed"].all() and len(set(info["seed"]) | {SEED, SEED + 1}) == 4
    # They are the starts that their seeds stand for.
    again, _ = envs.reset(seed=info["seed"].tolist())
    for name in seen:
        np.testing.assert_allclose(seen[name], again[name], atol=1e-5)


def test_equal_seeds_are_equal_starts_the_ones_of_evaluation(envs):
    seen, _ = envs.reset(seed=[SEED, SEED])
    for name, array in seen.items():
        np.testing.assert_array_equal(array[0], array[1], err_msg=name)
    env = simulation.make_env("lifting", "kinova", 16)
    pose = jax.jit(lambda seed: env.ee_pose(env.reset(jax.random.key(seed))))(np.uint32(SEED))
    np.testing.assert_allclose(seen["ee_pose"][0], pose, atol=1e-5)
    other, _ = envs.reset(seed=SEED + 5)
    assert np.abs(other["ee_pose"] - seen["ee_pose"]).max() > 1e-3


def test_an_action_moves_its_own_world(envs):
    seen, _ = envs.reset(seed=SEED)
    action = seen["proprio"].copy()
    action[1, 0] += 0.3
    for _ in range(2):
        moved, *_ = envs.step(action)
    turned = np.abs(moved["proprio"] - seen["proprio"])[:, 0]
    assert turned[1] > 0.05 > 10 * turned[0]


@pytest.mark.parametrize(
    ("seed", "said"), [(-1, "seed is -1"), ([1], "expected 2"), (2**32 - 1, "2\\*\\*32")]
)
def test_wrong_seeds_are_refused(envs, seed, said):
    with pytest.raises(ValueError, match=said):
        envs.reset(seed=seed)


def test_wrong_use_is_refused(envs):
    with pytest.raises(ValueError, match="num_envs is 0"):
        TaskVectorEnv("lifting", num_envs=0)
    with pytest.raises(RuntimeError, match="before reset"):
        TaskVectorEnv("lifting", "kinova", 1, 16).step(np.zeros((1, 8)))
    envs.reset(seed=SEED)
    for wrong in (np.zeros((2, 7)), np.full((2, 8), np.nan)):
        with pytest.raises(ValueError, match=r"expected \(2, 8\)"):
            envs.step(wrong)
