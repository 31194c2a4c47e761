"""The train loop: what it computes, in which order, and how it stops."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import train_tiny as tiny

from glam_jax.runtime import checkpoint, loop, metrics, optim, preemption, steplog

STEPS = 40


def run(state=None, feed=None, steps=STEPS, loss=tiny.loss, **options):
    feed = feed or tiny.ResidentFeed()
    state = tiny.make_state() if state is None else state
    step = tiny.make_step(feed, loss)
    return loop.fit(state, step, feed, tiny.CONSTANTS, steps=steps, name="tiny", **options)


@pytest.fixture(scope="module")
def expected():
    """The state of an uninterrupted run."""
    return jax.device_get(run())


class Recorder:
    """Stands in for the writer and the checkpoints; notes what it is given, in order."""

    def __init__(self):
        self.events, self.rows, self.saved = [], {}, []

    def write(self, step, metrics):
        self.rows.setdefault(step, {}).update(metrics)
        if "loss" in metrics:
            self.events.append(("log", step))

    def upload(self):
        self.events.append(("upload", max(self.rows)))

    def hook(self, step, state):
        assert int(state.step) == step
        self.events.append(("evaluate", step))
        return {"error_mm": 1.5 * step}

    def save(self, state):
        self.saved.append(int(state.step))
        self.events.append(("save", int(state.step)))

    def wait(self):
        self.events.append(("wait", None))


def test_it_learns(expected):
    first = tiny.loss(tiny.make_state().params, tiny.ResidentFeed().rows, jax.random.key(0))[0]
    last = tiny.loss(expected.params, tiny.ResidentFeed().rows, jax.random.key(0))[0]
    assert last < 0.7 * first
    assert int(expected.step) == STEPS


def test_step_is_the_gradient_of_its_own_batch_and_key():
    """One update by hand: the batch of step t, the noise of fold_in(key(seed), t)."""
    feed, state = tiny.ResidentFeed(), tiny.make_state().replace(step=jnp.int32(4))
    found, metrics = jax.jit(tiny.make_step(feed))(state, feed.fetch(4), tiny.CONSTANTS)
    key = jax.random.fold_in(jax.random.key(tiny.SEED), 4)
    batch = feed.rows[tiny.draw(4)]
    gradients = jax.jit(jax.grad(lambda params: tiny.loss(params, batch, key)[0]))(state.params)
    by_hand = jax.jit(lambda g: optim.apply_gradients(state, g, tiny.OPTIMIZER, 0.99))(gradients)
    for name, tree in (("params", found.params), ("ema", found.ema)):
        chex.assert_trees_all_close(tree, getattr(by_hand, name), rtol=1e-5, atol=0)
    squares = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradients))
    np.testing.assert_allclose(metrics["grad_norm"], np.sqrt(squares), rtol=1e-5)
    assert set(metrics) == {"loss", "reconstruction", "grad_norm"}


def test_what_no_gradient_does_is_done_after_the_update_and_under_a_key_of_its_own():
    def loss(params, batch, key, statistics):
        value, terms = tiny.loss(params, batch, key)
        return value, {**terms, "draw": jax.random.normal(key, (2,))}

    def amend(state, metrics, key):
        rest = {name: value for name, value in metrics.items() if name != "draw"}
        told = {"before": metrics["draw"][0], "own": jax.random.normal(key)}
        return state.replace(ema=state.params), rest | told

    feed, state = tiny.ResidentFeed(), tiny.make_state()
    plain = jax.jit(tiny.make_step(feed))(state, feed.fetch(0), tiny.CONSTANTS)[0]
    step = jax.jit(tiny.make_step(feed, loss, amend))
    (found, metrics), (_, later) = (
        step(state.replace(step=jnp.int32(at)), feed.fetch(at), tiny.CONSTANTS) for at in (0, 1)
    )
    chex.assert_trees_all_equal(found.params, plain.params)
    chex.assert_trees_all_equal(found.ema, plain.params)  # as it is after the update
    assert set(metrics) == {"loss", "reconstruction", "grad_norm", "before", "own"}
    assert metrics["own"] != later["own"] and metrics["own"] != metrics["before"]


def test_streamed_batches_train_as_resident_ones(expected):
    found = run(feed=tiny.StreamingFeed())
    chex.assert_trees_all_close(found.params, expected.params, rtol=1e-4, atol=1e-6)
    record = Recorder()
    several = run(
        feed=tiny.StreamingFeed(ahead=4), steps_per_call=4, checkpoints=record, save_every=7
    )
    chex.assert_trees_all_equal(several, found)


def test_a_run_in_two_parts_equals_a_whole_one(tmp_path, expected):
    for steps in (STEPS // 2 + 3, STEPS):  # stops between two saves, goes on
        with checkpoint.Checkpoints(tmp_path) as checkpoints:
            state = checkpoints.restore_latest(jax.eval_shape(tiny.make_state))
            state = run(state, steps=steps, checkpoints=checkpoints, save_every=10)
    chex.assert_trees_all_equal(state, expected)


def test_order_at_a_boundary():
    """Evaluate, upload the rows, save, then dispatch; the row of a step is written once the next is
    under way, or before anything is made of its state."""
    record = Recorder()
    run(
        steps=6,
        hooks=[(3, record.hook)],
        checkpoints=record,
        save_every=3,
        writer=record,
        log_every=1,
    )
    assert record.events == [
        *(("log", step) for step in (1, 2, 3)),
        ("evaluate", 3),
        ("upload", 3),
        ("save", 3),
        *(("log", step) for step in (4, 5, 6)),
        ("evaluate", 6),
        ("upload", 6),
        ("save", 6),
        ("wait", None),
    ]


def test_a_step_is_logged_once_the_next_is_under_way():
    record = Recorder()

    class Feed(tiny.ResidentFeed):
        def fetch(self, step, count):
            record.events.append(("fetch", step))
            return super().fetch(step, count)

    run(feed=Feed(), steps=3, writer=record, log_every=1)
    fetched_and_logged = "fetch 0, fetch 1, log 1, fetch 2, log 2, log 3, upload 3"
    assert ", ".join(f"{kind} {step}" for kind, step in record.events) == fetched_and_logged


def test_rows_hold_every_term_and_the_pace():
    record = Recorder()
    run(steps=7, hooks=[(5, record.hook)], writer=record, log_every=3)
    assert sorted(record.rows) == [3, 5, 6, 7]  # the last step is always logged and evaluated
    terms = {"loss", "reconstruction", "grad_norm"}
    assert terms | {"steps_per_second", "data_wait_share"} == set(record.rows[3])
    assert record.rows[5] == {"error_mm": 7.5}
    assert terms | {"error_mm"} <= set(record.rows[7])


def test_waiting_for_data_is_measured():
    shares = {}
    for pause in (0.0, 0.05):
        record = Recorder()
        run(feed=tiny.StreamingFeed(pause), steps=8, writer=record, log_every=8)
        shares[pause] = record.rows[8]["data_wait_share"]
    assert shares[0.05] > 0.8
    assert 0 <= shares[0.0] < shares[0.05] <= 1


def test_nothing_is_evaluated_or_saved_where_the_run_before_ended():
    record = Recorder()
    state = run(steps=4)
    run(state, steps=5, hooks=[(2, record.hook)], checkpoints=record, save_every=2)
    assert record.saved == [5] and ("evaluate", 4) not in record.events


def test_a_finished_run_returns_at_once():
    record = Recorder()
    state = run(run(steps=4), steps=4, hooks=[(1, record.hook)], checkpoints=record, save_every=1)
    assert int(state.step) == 4 and record.saved == []


@pytest.mark.parametrize("size", [3, 64])
def test_calls_do_not_depend_on_where_they_are_cut(size):
    """Several updates share a dispatch; boundaries cut dispatches short."""
    results, rows = [], []
    for save_every, calls in ((0, 1), (7, size), (STEPS, size)):
        record = Recorder()
        results.append(
            run(
                writer=record,
                log_every=1,
                checkpoints=record,
                save_every=save_every,
                steps_per_call=calls,
            )
        )
        rows.append({step: row["loss"] for step, row in record.rows.items()})
    chex.assert_trees_all_equal(results[1], results[0])
    chex.assert_trees_all_equal(results[2], results[0])
    assert rows[0] == rows[1] == rows[2] and len(rows[0]) == STEPS


@pytest.mark.parametrize(
    ("seconds", "hosts", "updates"),
    [(None, 1, 1), (0.01, 1, 8), (0.5, 1, 4), (9.0, 1, 1), (None, 4, 8), (9.0, 4, 8)],
)
def test_a_call_lasts_no_longer_than_people_wait(monkeypatch, seconds, hosts, updates):
    monkeypatch.setattr(jax, "process_count", lambda: hosts)
    plan = loop._Plan(start=0, steps=100, hooks=(), save_every=50, steps_per_call=8)
    assert plan.updates_from(0, seconds) == updates
    assert plan.updates_from(48, seconds) == min(updates, 2)


def test_the_log_knows_how_long_an_update_takes(monkeypatch):
    """From when its dispatch could start, not from when the host asked for it."""
    now, ends, found = [0.0], [10.0, 14.0, 30.0], []

    def wait(metrics):
        now.append(ends.pop(0))
        return metrics

    monkeypatch.setattr(steplog.time, "perf_counter", lambda: now[-1])
    monkeypatch.setattr(jax, "device_get", wait)
    with steplog.StepLog("tiny", 0, 9, None, 50) as log:
        for step, count in ((1, 1), (5, 4), (9, 4)):
            found.append(log.seconds_per_update)
            with log.waiting():
                pass
            log.submit(step, count, {"loss": np.ones(4)})
        now.append(20.0)  # the host does something else before it asks for the last one
        log.settle()
    assert [*found, log.seconds_per_update] == [None, None, 10.0, 4.0]


def test_a_call_has_no_more_steps_than_a_streaming_feed_fetches():
    with pytest.raises(ValueError, match="steps_per_call: found 4, expected at most 3"):
        run(feed=tiny.StreamingFeed(ahead=3), steps_per_call=4)


def spoiled(at):
    """The loss with a term that turns into NaN at one step, and with it everything."""

    def loss(params, batch, key, statistics):
        value, terms = tiny.loss(params, batch, key)
        seen = jax.random.key_data(key)
        key_of_step = jax.random.fold_in(jax.random.key(tiny.SEED), at)
        bad = jnp.all(seen == jax.random.key_data(key_of_step))
        prior = jnp.where(bad, jnp.nan, 0.0) * value
        return value + prior, terms | {"prior": prior}

    return loss


@pytest.mark.parametrize("at", [13, 20])
@pytest.mark.parametrize("calls", [1, 4])
def test_nonfinite_loss_names_term_and_step_and_keeps_the_last_good_state(tmp_path, at, calls):
    with (
        checkpoint.Checkpoints(tmp_path) as checkpoints,
        pytest.raises(steplog.NonFiniteLossError, match=f"'prior' is nan at step {at}") as error,
    ):
        run(loss=spoiled(at), checkpoints=checkpoints, save_every=10, steps_per_call=calls)
    assert (error.value.term, error.value.step) == ("prior", at)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        kept = checkpoints.restore_latest(jax.eval_shape(tiny.make_state))
    assert kept.step == at // 10 * 10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))


def test_stop_request_saves_at_the_boundary_and_says_where(tmp_path, expected):
    def ask(step, state):
        os.kill(os.getpid(), signal.SIGTERM)

    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(preemption.Preempted, match="at step 13 of 40, saved"):
            run(hooks=[(13, ask)], checkpoints=checkpoints, save_every=30)
        found = checkpoints.restore_latest(jax.eval_shape(tiny.make_state))
        assert found.step == 13
        chex.assert_trees_all_equal(run(found), expected)


def test_handlers_are_put_back():
    before = [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)]
    with preemption.Preemption() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.requested
        with pytest.raises(KeyboardInterrupt):  # the second one means it
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
    assert [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run of the same program."""
    folder = tmp_path_factory.mktemp("whole")
    program = start(folder, 0)
    program.communicate(timeout=120)
    assert program.returncode == 0
    return folder


def start(workdir, pause):
    program = pathlib.Path(__file__).parents[1].joinpath("train_tiny.py")
    environment = os.environ | {"PYTHONPATH": str(program.parents[1])}
    return subprocess.Popen(
        [sys.executable, str(program), str(workdir), str(STEPS), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.slow
def test_a_killed_and_continued_run_ends_bit_identical(tmp_path, whole, kind):
    killed = tmp_path / "killed"
    first = start(killed, 0.1)
    for line in first.stdout:
        if line.strip() == "step 27":
            break
    first.send_signal(kind)
    rest = first.communicate(timeout=120)[0]
    if kind == signal.SIGKILL:
        assert first.returncode == -signal.SIGKILL
        expected = ["step 10", "step 20"]  # the newest one may have been half-written
    else:
        assert first.returncode == 0
        expected = re.findall(r"stopped on request at (step \d+) of 40, saved", rest)
    second = start(killed, 0)
    assert second.communicate(timeout=120)[0].split("\n")[0] in expected
    assert second.returncode == 0
    chex.assert_trees_all_equal(*(read_state(folder) for folder in (killed, whole)))
    curves = [metrics.read_metrics(folder)["loss"] for folder in (killed, whole)]
    np.testing.assert_array_equal(curves[0], curves[1])


def read_state(folder):
    with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore_latest(jax.eval_shape(tiny.make_state))
    assert found.step == STEPS
    return found
