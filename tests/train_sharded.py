"""Both stages for some steps, and rollouts, on all devices of all hosts; for test_sharding.

    python tests/train_sharded.py OUT [COORDINATOR PROCESSES PROCESS]

Process 0 writes what was learnt to OUT, a .npz: curves, final parameters, rows of each host.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from point_world import PointWorld

from glam_jax import config, schema
from glam_jax.data import feeds, normalize
from glam_jax.data.store import Store
from glam_jax.evaluation.rollout import rollout
from glam_jax.runtime import hosts, loop, optim
from glam_jax.sim.env import make_env
from glam_jax.stages import clone, pretrain, units, world_model

STEPS, BATCH, SEED = 20, 16, 5
TARGET = schema.Layout(arms=1, image_size=16, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=16, has_actions=False)
WORLD_MODEL = {
    "latent": 4, "visual": 8, "channels": (4, 4, 4, 4), "width": 8,
    "posterior_blocks": 1, "forward_blocks": 1, "proprio_blocks": 1, "reconstruct_share": 0.125,
}  # fmt: skip
POLICY = {
    "chunk": 3, "channels": (4, 4, 4), "features": 8, "hidden": 8, "condition": 8, "layers": 3,
    "width": 8, "decoder_layers": 2,
}  # fmt: skip


class Rows:
    """Stands in for the writer: keeps every row of metrics."""

    def __init__(self):
        self.rows = []

    def upload(self):
        pass

    def write(self, step, metrics):
        self.rows.append([metrics["loss"], metrics["grad_norm"]])


def data() -> tuple[Store, dict]:
    target = [schema.fake_episode(TARGET, 12, seed) for seed in range(2)]
    auxiliary = [schema.fake_episode(AUXILIARY, 12, seed, source="umi") for seed in range(2)]
    store = Store(target, auxiliary)
    return store, normalize.statistics(store)


def settings():
    made = config.make("lifting", "method=glam_o,scale=quick")
    with made.unlocked():
        made.world_model.update(WORLD_MODEL)
        made.policy.update(POLICY)
        # Shares of target rows that no shard of 4 rows has exactly; and Muon in stage 2.
        made.pretrain.update(batch=BATCH, target_share=0.3, matrix_learning_rate=0.0)
        made.clone.update(batch=BATCH, target_share=0.4)
    return made


def stage1(made, store, stats):
    """(loss, feed, initial parameters, statistics) of the world model; its data stay on devices."""
    run, model = made.pretrain, world_model.build(made, TARGET)
    rows = feeds.target_rows(run.batch, run.target_share)
    loss = pretrain.make_loss(model, run.weights.to_dict(), rows)
    draw = feeds.Draw(run.batch, run.target_share, SEED, True)
    feed = feeds.WindowFeed(store, draw, 2, "mask")
    return loss, feed, pretrain.init_params(model, TARGET, SEED), stats


def stage2(made, store, stats):
    """(loss, feed, initial parameters, statistics) of the policy; its batches are streamed."""
    run, labels = made.clone, store.transition_actions()[:, :4]
    model = clone.build(made, TARGET, 4)
    rows = feeds.target_rows(run.batch, run.target_share)
    stats = units.label_statistics(labels, stats, latent=True)
    loss = clone.make_loss(model, run.weights.to_dict(), rows)
    draw = feeds.Draw(run.batch, run.target_share, SEED, False)
    feed = feeds.ChunkFeed(store, draw, labels, made.policy.chunk)
    return loss, feed, clone.init_params(model, TARGET, SEED), stats


def train(name, run, loss, feed, params, stats) -> dict[str, np.ndarray]:
    """Curves and final parameters of one stage."""
    optimizer = optim.make_optimizer(
        learning_rate=1e-3, matrix_learning_rate=run.matrix_learning_rate, steps=2 * STEPS
    )
    step = loop.make_train_step(loss, feed.assemble, optimizer, 0.9)
    state, kept = optim.init_state(params, optimizer), Rows()
    constants = loop.constants_of(SEED, stats)
    state = loop.fit(state, step, feed, constants, steps=STEPS, name=name, writer=kept, log_every=1)
    leaves = jax.tree_util.tree_leaves_with_path({"params": state.params, "ema": state.ema})
    found = {f"{name}{jax.tree_util.keystr(path)}": np.asarray(leaf) for path, leaf in leaves}
    return found | {f"{name}_curves": np.array(kept.rows)}


def roll() -> dict[str, np.ndarray]:
    """What a random policy does in 9 worlds, 2 of each device at a time; hosts share them out."""
    seeds = np.arange(9)
    found = rollout(PointWorld(), wander, np.float32(1.0), seeds, execute=3, batch=2, film=3)
    record = ("success", "steps", "ee_position", "actions")
    sight = {f"rollout_{name}": value for name, value in found.sight._asdict().items()}
    del sight["rollout_draw"]
    return sight | {f"rollout_{name}": getattr(found, name) for name in record}


def wander(params, observation, keys):
    """Random places, the same for a chunk."""
    place = jax.vmap(lambda key: jax.random.uniform(key, (1, 8)))(keys)
    return params * jnp.repeat(place, 3, axis=1)


def main(out: str, *member: str) -> None:
    if member:
        coordinator, processes, process = member
        hosts.join(hosts.Membership(coordinator, int(processes), int(process)), 60.0)
    made, (store, stats) = settings(), data()
    found = train("stage1", made.pretrain, *stage1(made, store, stats))
    found |= train("stage2", made.clone, *stage2(made, store, stats))
    found |= roll()
    if member:  # physics compiles on every host; that its results are one truth is tested apart
        jax.jit(make_env("lifting", "kinova", 16).reset).lower(jax.random.key(0))
    if hosts.is_leader():
        np.savez(out, devices=jax.device_count(), hosts=jax.process_count(), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
