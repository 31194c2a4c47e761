"""Metrics and JSON on disk."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax import files
from glam_jax.runtime.metrics import METRICS_FILE, MetricWriter, read_metrics


def test_rows_come_back_as_curves(tmp_path):
    with MetricWriter(tmp_path) as metrics:
        metrics.write(10, {"loss": jnp.float32(0.5), "kl": np.float64(2.0)})
        metrics.write(20, {"loss": 0.25, "error_mm": 7})
    curves = read_metrics(tmp_path)
    assert set(curves) == {"loss", "kl", "error_mm"}
    np.testing.assert_array_equal(curves["loss"], [[10, 20], [0.5, 0.25]])
    np.testing.assert_array_equal(curves["error_mm"], [[20], [7]])
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_rows_reach_the_disk_before_close(tmp_path):
    metrics = MetricWriter(tmp_path)
    metrics.write(1, {"loss": 1.0})
    assert read_metrics(tmp_path)["loss"][1] == [1.0]
    metrics.close()


def test_resuming_drops_what_lies_after_and_only_that(tmp_path):
    with MetricWriter(tmp_path) as metrics:
        for step in (10, 20, 30):
            metrics.write(step, {"loss": step / 10})
    with MetricWriter(tmp_path, resumed_step=20) as metrics:
        metrics.write(30, {"loss": -1.0})
    np.testing.assert_array_equal(read_metrics(tmp_path)["loss"], [[10, 20, 30], [1.0, 2.0, -1.0]])


def test_starting_anew_drops_everything(tmp_path):
    for _ in range(2):
        with MetricWriter(tmp_path) as metrics:
            metrics.write(10, {"loss": 1.0})
    assert read_metrics(tmp_path)["loss"][0].tolist() == [10]


def test_a_line_cut_by_a_kill_is_dropped(tmp_path):
    with MetricWriter(tmp_path) as metrics:
        metrics.write(10, {"loss": 1.0})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 20, "lo')
    assert read_metrics(tmp_path)["loss"][0].tolist() == [10]
    with MetricWriter(tmp_path, resumed_step=10) as metrics:
        metrics.write(20, {"loss": 2.0})
    assert read_metrics(tmp_path)["loss"][0].tolist() == [10, 20]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path):
    (tmp_path / METRICS_FILE).write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2.*nonsense"):
        read_metrics(tmp_path)


def test_missing_metrics_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=METRICS_FILE):
        read_metrics(tmp_path)


def test_vectors_are_refused(tmp_path):
    with (
        MetricWriter(tmp_path) as metrics,
        pytest.raises(ValueError, match=r"'kl'.*\(3,\).*scalar"),
    ):
        metrics.write(1, {"kl": np.zeros(3)})


def test_json_takes_arrays_paths_and_what_is_not_finite(tmp_path):
    path = tmp_path / "deep" / "results.json"
    value = {"rate": np.float32(0.5), "counts": jnp.arange(2), "nan": float("nan")}
    files.write_json(path, value | {"at": pathlib.Path("/x"), "pair": (1, None)})
    assert json.loads(path.read_text()) == {
        "rate": 0.5,
        "counts": [0, 1],
        "nan": None,
        "at": "/x",
        "pair": [1, None],
    }


def test_a_list_of_numbers_is_one_line_and_no_text_is_touched(tmp_path):
    value = {
        "rows": [[1.5, -2e-07], [0.0, None]],
        "empty": [],
        "words": ["[\n  1,\n  2\n]", "a"],
        "mixed": [1, "b"],
    }
    files.write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value
    assert "    [1.5, -2e-07],\n    [0.0, null]\n" in text


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, {"trials": 50})
    with pytest.raises(TypeError):
        files.write_json(path, {"trials": object()})
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "\ud800")  # fails half-way, in the file itself
    assert json.loads(path.read_text()) == {"trials": 50}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
