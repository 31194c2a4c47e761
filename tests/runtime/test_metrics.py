"""Metrics on disk."""

import jax.numpy as jnp
import numpy as np
import pytest

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
