"""Shared by the tests of the server: a tiny policy."""

import pytest
import tiny_policy

import glam_jax
from glam_jax.serve import service


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    loaded = glam_jax.load_policy(tiny_policy.save(tmp_path_factory.mktemp("run")))
    service.warm_up(loaded)
    return loaded


@pytest.fixture(scope="module")
def make_service(policy):
    """A service of the tiny policy; without speed limits unless they are asked for."""

    def make(**values):
        config = service.settings()
        config.update({"action_speed": (0.0,), **values})
        return service.make_service(policy, config)

    return make
