"""The grounding audit: a good source passes, one that is broken on purpose does not."""

import dataclasses
import json

import numpy as np
import pytest
import reaching

from glam_jax import config
from glam_jax.audit import audit, page
from glam_jax.audit.gates import Gate, judge, measure, score
from glam_jax.data import normalize
from glam_jax.data.store import Store
from glam_jax.demonstrations.breakage import mirrored, shuffled
from glam_jax.display import canvas
from glam_jax.errors import DataError
from glam_jax.experiment.workdir import Workdir
from glam_jax.stages import pretrain

SETTINGS = config.make("lifting").audit
SMALL = {
    "latent": 8, "visual": 8, "channels": (8, 8, 16, 16), "width": 64,
    "posterior_blocks": 1, "forward_blocks": 1, "decoder_layers": 2, "proprio_blocks": 1,
    "reconstruct_share": 1.0,
}  # fmt: skip


def episodes(layout, count, first):
    return [reaching.episode(layout, first + i) for i in range(count)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small GLAM that has learned the reaches, and the target episodes it learned from."""
    made = config.make("lifting", "method=glam,scale=quick")
    with made.unlocked():
        made.world_model.update(SMALL)
        made.pretrain.update(
            steps=2000, batch=64, warmup_steps=50, learning_rate=3e-3, matrix_learning_rate=0.0,
            log_every=100, evaluate_every=2000, ema_decay=0.98,
        )  # fmt: skip
    target = episodes(reaching.TARGET, 96, 0)
    auxiliary = episodes(reaching.AUXILIARY, 96, 100)
    folder = tmp_path_factory.mktemp("world_model")
    store, heldout = Store(target, auxiliary), Store(target[:1])
    stats = normalize.statistics(store)
    model = pretrain.pretrain(made, store, heldout, stats, folder)
    return model, target


@pytest.fixture(scope="module")
def evidence(trained):
    """Name of a breakage, or "" -> what is measured of the source's held-out episodes."""
    model, target = trained
    heldout = episodes(reaching.TARGET, 12, 900)
    source = episodes(reaching.AUXILIARY, 12, 950)
    changes = {"shuffled": shuffled, "mirrored": mirrored}
    sources = {name: list(map(change, source)) for name, change in changes.items()}
    sources["another task"] = [
        reaching.episode(reaching.AUXILIARY, 950 + i, True) for i in range(12)
    ]
    return {
        name: measure(model, target, heldout, shown, SETTINGS)
        for name, shown in {"": source, **sources}.items()
    }


@pytest.fixture(scope="module")
def audited(evidence):
    """Name of a breakage, or "" -> name of a gate -> the gate."""
    return {
        name: {gate.name: gate for gate in judge(one, SETTINGS)} for name, one in evidence.items()
    }


@pytest.mark.slow
def test_the_good_source_passes(audited):
    assert {name: gate.passed for name, gate in audited[""].items()} == {
        "decoded_error_mm": True, "latent_distance": True, "classifier_auc": True,
        "inside_range": True, "forward_pose": True, "forward_visual": True,
        "visual_against_target": True,
    }  # fmt: skip


@pytest.mark.slow
def test_shuffled_frames_fail(audited):
    # Of a task's frames all gates fail (docs/audit.md); of this little world's one does.
    gates, good = audited["shuffled"], audited[""]
    assert not gates["inside_range"].passed
    for name in ("latent_distance", "classifier_auc", "forward_pose"):
        assert gates[name].value > good[name].value


@pytest.mark.slow
def test_mirrored_pictures_fail(audited):
    for name in ("forward_visual", "visual_against_target"):
        assert not audited["mirrored"][name].passed


@pytest.mark.slow
def test_mirrored_pictures_fail_by_a_world_model_that_predicts_them_better_than_a_copy(evidence):
    good = evidence[""]  # ratios as a run of lifting at the quick scale had them (docs/audit.md)
    for source, passes in ((0.484, True), (0.666, False), (float("nan"), False)):
        found = dataclasses.replace(good, forward_visual=(source, 0.484))
        gates = {gate.name: gate.passed for gate in judge(found, SETTINGS)}
        assert gates["visual_against_target"] == passes
    for target, word in ((0.484, "mirrored camera"), (0.99, "tells little")):
        found = dataclasses.replace(good, forward_visual=(target, target))
        (gate,) = (g for g in judge(found, SETTINGS) if g.name == "visual_against_target")
        assert gate.passed and word in gate.note
    still = dataclasses.replace(good, forward_visual=(0.5, 0.0))
    assert not all(gate.passed for gate in judge(still, SETTINGS))


@pytest.mark.slow
def test_another_task_fails(audited):
    failed = {name for name, gate in audited["another task"].items() if not gate.passed}
    assert failed >= {"inside_range"}, audited["another task"]


@pytest.mark.slow
def test_what_is_measured_of_the_target_does_not_depend_on_the_source(audited):
    assert len({gates["decoded_error_mm"].value for gates in audited.values()}) == 1
    assert len({gates["forward_visual"].note for gates in audited.values()}) == 1


@pytest.mark.slow
def test_the_decoders_inputs_are_samples_around_the_labels(trained):
    model, target = trained
    store = Store(target[:2])
    first, other = model.decoder_inputs(store), model.decoder_inputs(store, seed=1)
    assert first.shape == (2 * (reaching.LENGTH - 1), 8) and np.abs(first - other).max() > 0
    np.testing.assert_array_equal(first, model.decoder_inputs(store))
    # Decoded, samples give nearly the actions: that is what the decoder was trained on.
    error = model.decode(first) - store.transition_actions()
    assert np.abs(error).mean() < 0.05
    with pytest.raises(ValueError, match="auxiliary episodes; expected none"):
        model.decoder_inputs(Store(target[:1], episodes(reaching.AUXILIARY, 1, 5)))


@pytest.mark.slow
def test_forward_errors_are_in_the_order_of_transitions(trained):
    model, target = trained
    still = reaching.episode(reaching.AUXILIARY, 5)
    still.steps = {name: np.repeat(x[:1], len(x), axis=0) for name, x in still.steps.items()}
    errors = model.forward_errors(Store(target[:1], [still]))
    moving, held = np.split(errors["copy_ee"], [reaching.LENGTH - 1])
    assert (moving > 0).all() and not held.any()
    assert errors["copy_y"][len(moving) :].max() < 1e-9 < errors["copy_y"][: len(moving)].max()
    assert all(x.shape == (2 * (reaching.LENGTH - 1),) for x in errors.values())


@pytest.mark.parametrize(
    ("value", "threshold", "at_least", "best", "expected"),
    [(0.5, 0.5, True, 1.0, 0.5), (0.5, 0.5, False, 0.0, 0.5), (0.4, 0.5, True, 1.0, 0.41),
     (0.6, 0.5, False, 0.0, 0.41), (1.0, 0.5, True, 1.0, 1.0), (-0.1, 0.5, False, 0.0, 1.0),
     (float("nan"), 0.5, True, 1.0, 0.0), (float("nan"), 0.5, False, 0.0, 0.0),
     # A threshold at the best, or beyond it, is all or nothing.
     (1.0, 1.0, True, 1.0, 1.0), (0.99, 1.0, True, 1.0, 0.0),
     (0.95, 0.9, False, 1.0, 0.0), (0.9, 0.9, False, 1.0, 1.0)],
)  # fmt: skip
def test_a_gate_passes_on_its_side_of_the_threshold_with_half_its_score(
    value, threshold, at_least, best, expected
):
    gate = Gate("inside_range", "share", value, threshold, at_least, best)
    assert gate.score == pytest.approx(expected, abs=0.01)
    passed = expected >= 0.5
    assert gate.passed is passed and gate.record()["passed"] is passed
    assert score([gate, Gate("other", "share", 1.0, 0.5, True, 1.0)]) == gate.score
    json.dumps(gate.record(), allow_nan=False)


@pytest.mark.slow
def test_replay_is_gated_by_the_lower_bound(evidence):
    replay = {"successes": 3, "trials": 4, "robot": "arm", "wilson_low": 0.3, "wilson_high": 1.0}
    *_, gate = judge(evidence[""], SETTINGS, replay)
    assert gate.name == "replay_lower" and gate.value == 0.3 and not gate.passed
    assert gate.note == "3/4 on arm, 30% to 100%"


def test_the_page_needs_no_other_file_and_escapes(tmp_path):
    gates = [Gate("a", "<b>&", 0.2, 0.5, False, 0.0, "<i>"), Gate("b", "c", 0.1, 0.5, True, 1.0)]
    picture = canvas.save_png(tmp_path / "x.png", np.zeros((4, 4, 3), np.uint8))
    text = page.page("<script>", ["1 < 2"], gates, {'"quoted" <x>': picture})
    assert "data:image/png;base64,iVBOR" in text and "NOT fit" in text
    assert not any(bad in text for bad in ("<script>", "<b>", "<i>", "<x>", "http", str(tmp_path)))
    assert [line[:4] for line in page.table(gates).splitlines()] == ["pass", "FAIL"]


def test_a_source_that_is_none_is_refused(tmp_path):
    made = config.make("lifting")
    Workdir(tmp_path).claim(made)
    for name in (made.data.target, "umii"):
        with pytest.raises(DataError, match=f"source is '{name}'; expected one beside the target"):
            audit.audit(Workdir(tmp_path), name)


def test_a_run_from_before_the_audit_gets_the_default_thresholds():
    made = config.make("lifting")
    with made.unlocked():
        made.audit.inside_range = 0.5
    assert audit.thresholds(made).inside_range == 0.5
    with made.unlocked():
        del made.audit.visual_against_target
    assert audit.thresholds(made).inside_range == 0.5
    assert audit.thresholds(made).visual_against_target == SETTINGS.visual_against_target
    with made.unlocked():
        del made.audit
    assert audit.thresholds(made) == SETTINGS
