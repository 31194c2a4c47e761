"""The PyTorch models of the benchmark compute what ours do: terms, gradients, and updates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_benchmark import SMALL

from glam_jax import config as configs
from glam_jax.benchmark import samples, training
from glam_jax.models import draws
from glam_jax.models.augment import SHADES
from glam_jax.runtime import optim
from glam_jax.stages import training as stages

WHY = "compares with PyTorch: pip install -e '.[bench]'"
torch = pytest.importorskip("torch", reason=WHY)

from glam_jax.benchmark import torch_training, torch_weights  # noqa: E402

pytestmark = pytest.mark.slow

BATCH, TOLERANCE = 20, 1e-4
POLICY = {
    "chunk": 6, "channels": (4, 4, 8), "features": 8, "hidden": 16, "condition": 8,
    "layers": 4, "width": 16,
}  # fmt: skip


def tensor(array):
    found = torch.from_numpy(np.array(array))
    return found if found.is_floating_point() else found.long()


def window_draws(config, key):
    """What `Glam.loss` draws from a key."""
    model, rows = config.world_model, jnp.arange(BATCH)
    key_phi, key_eta, key_image = jax.random.split(key, 3)
    key_row, key_frame = jax.random.split(key_image)
    shape = (config.pretrain.window - 1, model.latent)
    size = round(1 / model.reconstruct_share)
    row, _, run = draws.one_of_every(size, key_row, rows)
    frame = functools.partial(jax.random.randint, shape=(), minval=0, maxval=config.pretrain.window)
    return {
        "phi": draws.normal(key_phi, rows, shape),
        "eta": draws.normal(key_eta, rows, shape),
        "row": row,
        "frame": draws.per_row(frame, key_frame, run),
    }


def chunk_draws(config, key):
    """What `MipPolicy.loss` draws from a key."""
    policy, rows = config.policy, jnp.arange(BATCH)
    key_shift, key_shading, key_colours, key_noise, key_pose = jax.random.split(key, 5)
    colours = functools.partial(jax.random.uniform, shape=(4,), minval=-1.0, maxval=1.0)

    layout = samples.store(config.image_size, training.FRAMES)[0].layout
    shape, corners = (len(layout.views), 2), 2 * policy.shift_pixels + 1
    corner = functools.partial(jax.random.randint, shape=shape, minval=0, maxval=corners)

    def shades(key):
        keys = zip(jax.random.split(key, len(SHADES)), SHADES, strict=True)
        return {f"shade_{n}": jax.random.normal(k, (len(layout.views), n, n, 3)) for k, n in keys}

    return draws.per_row(shades, key_shading, rows) | {
        "corner": draws.per_row(corner, key_shift, rows),
        "colours": draws.per_row(colours, key_colours, rows),
        "noise": draws.normal(key_noise, rows, (policy.chunk, config.world_model.latent)),
        "pose": draws.normal(key_pose, rows, (layout.ee_dim,)),
    }


DRAWS = {"pretrain": window_draws, "clone": chunk_draws}


class Both:
    """A stage in both libraries, and what each makes of one batch and one key."""

    def __init__(self, stage, modality="mask"):
        config = configs.make("lifting", "scale=standard")
        config.image_size, config[stage].batch = 16, BATCH
        config.world_model.update({**SMALL, "modality": modality})
        config.policy.update(POLICY)
        run = config[stage]
        run.warmup_steps, run.clip = 0, 1.0  # so that the gradient is clipped
        feed, (loss, init, stats) = training.feed_of(stage, config), training.parts(stage, config)
        params = samples.params(init, 0.2)
        batch, key = jax.jit(feed.assemble)(feed.fetch(0), 0), jax.random.key(3)
        value_and_grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (self.loss, self.means), self.gradients = value_and_grad(params, batch, key, stats)
        self.theirs = torch_training.make(stage, config, params)
        numbers = {name: tensor(value) for name, value in DRAWS[stage](config, key).items()}
        self.their_loss, self.their_means = self.theirs.losses(
            torch_training.as_tensors(jax.device_get(batch)), numbers
        )
        self.their_loss.backward()
        self.their_gradients = {
            name: parameter.grad.clone() for name, parameter in self.theirs.model.named_parameters()
        }
        _, optimizer = stages.make_step(run, loss=loss, feed=feed)
        self.state = optim.init_state(params, optimizer)
        self.update = jax.jit(
            lambda state: optim.apply_gradients(state, self.gradients, optimizer, run.ema_decay)
        )

    def in_torch(self, tree):
        return torch_weights.tree_of(self.theirs.model, jax.device_get(tree)["params"])


@pytest.fixture(scope="module", params=["pretrain", "clone"])
def both(request):
    return Both(request.param)


def check_terms(both):
    assert set(both.their_means) <= set(both.means)
    for name, mean in both.their_means.items():
        assert float(mean.detach()) == pytest.approx(float(both.means[name]), rel=TOLERANCE), name
    assert float(both.their_loss.detach()) == pytest.approx(float(both.loss), rel=TOLERANCE)


def test_every_term_is_ours(both):
    check_terms(both)
    assert set(both.their_means) == set(both.theirs.weights)


def test_terms_of_pictures_are_ours():
    check_terms(Both("pretrain", modality="rgb"))


def relative(ours, theirs):
    return np.linalg.norm(ours - np.asarray(theirs)) / max(np.linalg.norm(ours), 1e-8)


def test_every_gradient_is_ours(both):
    for name, ours in both.in_torch(both.gradients).items():
        assert relative(ours, both.their_gradients[name]) < TOLERANCE, name


def test_updates_and_averages_are_ours(both):
    """Two updates from one gradient: momentum, clipping, both kinds of parameters."""
    first = both.in_torch(both.gradients)
    state = both.state
    for _ in range(2):
        state = both.update(state)
        for name, parameter in both.theirs.model.named_parameters():
            parameter.grad = torch.tensor(
                first[name]
            )  # where they differ in rounding, Adam may not
        norm = both.theirs.optimizer.step()
        assert norm > both.theirs.run.clip
    ours, averages = both.in_torch(state.params), both.in_torch(state.ema)
    before = both.in_torch(both.state.params)
    named = zip(both.theirs.model.named_parameters(), both.theirs.optimizer.ema, strict=True)
    for (name, parameter), average in named:
        assert relative(ours[name], parameter.detach()) < TOLERANCE, name
        assert relative(averages[name], average) < TOLERANCE, name
        # Of what changed as well: an update is small beside the parameters.
        moved = parameter.detach().numpy() - before[name]
        assert relative(ours[name] - before[name], moved) < 1e-3, name


def test_a_step_trains_on_its_own_draws(both):
    before = [parameter.detach().clone() for parameter in both.theirs.optimizer.params]
    metrics = both.theirs.update()
    assert all(torch.isfinite(value) for value in metrics.values())
    after = both.theirs.optimizer.params
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
