"""Runs that take another run's world model: what is loaded, and what is refused."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax import config, schema
from glam_jax.experiment import borrowed
from glam_jax.experiment.workdir import Workdir, WorkdirError
from glam_jax.runtime import checkpoint, optim
from glam_jax.stages import pretrain, world_model

LAYOUT = schema.Layout(arms=1, image_size=16, has_actions=True)
OPTIMIZER = optim.make_optimizer(learning_rate=1e-2, steps=100, weight_decay=0.0)
TINY = {
    "image_size": 16,
    "world_model": {
        "channels": (4, 4, 4, 4), "visual": 8, "latent": 4, "width": 16, "decoder_layers": 2,
        "posterior_blocks": 1, "forward_blocks": 1, "proprio_blocks": 1,
    },
}  # fmt: skip


def make(method="glam_o", **changes):
    made = config.make("lifting", f"scale=quick,method={method}")
    made.update(TINY)
    made.update(changes)
    return made


@pytest.fixture(scope="module")
def params():
    """Parameters of the tiny world model, all zero but for their names and shapes."""
    model = world_model.build(make(), LAYOUT)
    shapes = jax.eval_shape(lambda: pretrain.init_params(model, LAYOUT, 0))
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.25, leaf.dtype), shapes)


def pretrained(path, params, made, step):
    """The folder of a run whose stage 1 is at a step."""
    folder = Workdir(path)
    folder.claim(made)
    state = optim.init_state(params, OPTIMIZER).replace(step=jnp.int32(step))
    stats = {"action": {"mean": np.zeros(8, np.float32), "std": np.ones(8, np.float32)}}
    with checkpoint.Checkpoints(folder.world_model, statistics=stats) as saved:
        saved.save(state)
    return folder


@pytest.fixture
def owner(tmp_path, params):
    made = make()
    return pretrained(tmp_path / "owner", params, made, made.pretrain.steps)


def test_a_run_of_its_own_lends_itself(tmp_path):
    folder = Workdir(tmp_path / "run")
    assert borrowed.lender(make(), folder) is folder


def test_the_named_runs_world_model_is_loaded(tmp_path, owner, params):
    asking = make(world_model_from="../owner", data={"target_episodes": 7}, seed=3)
    borrower = Workdir(tmp_path / "borrower")
    assert borrowed.lender(asking, borrower).path == owner.path
    loaded = borrowed.load(asking, LAYOUT, borrower)
    chex.assert_trees_all_equal(loaded.params, params)
    assert loaded.decode(np.zeros((2, 4), np.float32)).shape == (2, 8)
    # An absolute path does as well.
    asking.world_model_from = str(owner.path)
    assert borrowed.lender(asking, borrower).path == owner.path


def test_a_config_read_from_its_file_is_the_same(tmp_path, owner):
    borrower = Workdir(tmp_path / "borrower")
    borrower.claim(make(world_model_from="../owner"))
    assert borrowed.lender(borrower.config(), borrower).path == owner.path


@pytest.mark.parametrize(
    "changes, found",
    [
        ({"world_model_from": "../nobody"}, "nobody; there is no such folder"),
        ({"world_model_from": ".."}, "config.json is missing"),
        ({"image_size": 32}, "another image_size$"),
        ({"data": {"target": "umi"}}, "another data.target$"),
        ({"data": {"views": ("front", "overhead")}}, "another data.views$"),
        ({"world_model": {"latent": 5}}, "another world_model$"),
        ({"method": "glam", "world_model": {"modality": "rgb"}}, "another method, world_model$"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(tmp_path, owner, changes, found):
    asking = make(**{"world_model_from": "../owner"} | changes)
    with pytest.raises(WorkdirError, match=found):
        borrowed.lender(asking, Workdir(tmp_path / "borrower"))


def test_an_unfinished_stage_is_refused(tmp_path, params):
    made = make()
    pretrained(tmp_path / "early", params, made, 7)
    Workdir(tmp_path / "empty").claim(made)
    for name, step in (("early", 7), ("empty", 0)):
        expected = f"its stage 1 is at step {step} of {made.pretrain.steps}: finish it first"
        with pytest.raises(WorkdirError, match=expected):
            borrowed.lender(make(world_model_from=f"../{name}"), Workdir(tmp_path / "borrower"))


def test_one_that_borrows_itself_is_refused(tmp_path, owner):
    Workdir(tmp_path / "second").claim(make(world_model_from="../owner"))
    with pytest.raises(WorkdirError, match="borrows from '../owner'; name that run"):
        borrowed.lender(make(world_model_from="../second"), Workdir(tmp_path / "third"))
