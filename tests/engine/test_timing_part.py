"""The timing part of a run."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import config, environment, run, table, time_only

from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.reporting.report import report

pytestmark = pytest.mark.slow


def test_timing_has_a_row_per_method_and_scope(pictures: Path, tmp_path: Path) -> None:
    timing = {"repeats": 3, "warmup": 0, "batch_size": 2, "relative_to": "reciprocam"}
    run(config(pictures, timing=timing, limit=2), tmp_path / "run")
    timing = table(tmp_path / "run", "timing")
    assert list(timing.columns) == [
        *("backbone", "method", "implementation", "scope", "batch_size", "relative_to", "repeats"),
        *("median_ms", "q25_ms", "q75_ms", "device_median_ms", "images_per_s"),
        *("speedup", "speedup_low", "speedup_high", "peak_memory_mb", "status"),
    ]
    pairs = [(m, s) for m in ("gradcam", "reciprocam") for s in ("end-to-end", "explainer")]
    assert list(zip(timing["method"], timing["scope"], strict=True)) == pairs
    assert set(timing["repeats"]) == {3}
    assert set(timing["batch_size"]) == {2}
    assert (timing["q25_ms"] <= timing["median_ms"]).all()
    assert (timing["median_ms"] <= timing["q75_ms"]).all()
    assert np.allclose(timing["images_per_s"], 2000 / timing["median_ms"], rtol=1e-4)
    assert (timing["peak_memory_mb"] > 0).all()
    own = timing[timing["method"] == "reciprocam"]
    assert (own[["speedup", "speedup_low", "speedup_high"]] == 1).all(axis=None)
    assert environment(tmp_path / "run")["seconds"]["timing"] > 0


def test_a_slow_method_takes_as_long_as_it_takes(pictures: Path, tmp_path: Path, method: Callable) -> None:
    def slow(fp: ForwardPass) -> torch.Tensor:
        time.sleep(0.2)
        return fp.features.mean(1)

    method("test-slow", slow)
    timing = {"repeats": 3, "warmup": 0, "relative_to": "test-slow"}
    run(config(pictures, methods=["cam", "test-slow"], timing=timing, limit=1), tmp_path / "run")
    rows = table(tmp_path / "run", "timing").set_index(["method", "scope"])
    own, other = (rows.loc[(name, "explainer")] for name in ("test-slow", "cam"))
    assert 200 <= own["q25_ms"] <= own["median_ms"]
    assert other["median_ms"] < 100 and other["speedup"] > 2
    forward = rows.loc[("cam", "end-to-end"), "median_ms"] - other["median_ms"]
    assert rows.loc[("test-slow", "end-to-end"), "median_ms"] == pytest.approx(200 + forward, rel=0.5)


@pytest.mark.parametrize("others", [["gradcam"], []])
def test_a_method_that_fails_everywhere_keeps_its_timing_rows_without_times(
    pictures: Path, tmp_path: Path, method: Callable, capsys: pytest.CaptureFixture, others: list[str]
) -> None:
    method("test-fails", lambda fp: 1 / 0)
    timing = {"repeats": 1, "warmup": 0, "relative_to": "test-fails"}
    run(config(pictures, methods=["test-fails", *others], limit=2, timing=timing), tmp_path / "run")
    assert table(tmp_path / "run", "summary").set_index("method").loc["test-fails", "errors"] == 2
    rows = table(tmp_path / "run", "timing").set_index("method")
    assert set(rows.loc["test-fails", "median_ms"]) == {""}
    assert set(rows.loc["test-fails", "status"]) == {"error: ZeroDivisionError: division by zero"}
    for other in others:
        assert (rows.loc[other, "median_ms"].astype(float) > 0).all() and set(rows.loc[other, "status"]) == {"ok"}
    note = "note: test-fails could not be timed: ZeroDivisionError: division by zero; nothing is timed against it"
    assert note in capsys.readouterr().err
    text = report(tmp_path / "run", "markdown")
    assert "failed" in text and "nan" not in text.replace("constant", "")


def test_timing_alone(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0, "methods": ["gradcam"]}, limit=1)
    time_only(settings, tmp_path / "run")
    assert table(tmp_path / "run", "timing")["method"].tolist() == ["gradcam"] * 2
    assert not (tmp_path / "run/per_image.csv").exists()
    assert "finished" not in environment(tmp_path / "run")
    run(settings, tmp_path / "run")
    assert len(table(tmp_path / "run")) == 2


def test_timing_alone_without_a_timing_part_leaves_no_folder(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the config has no 'timing:' part"):
        time_only(config(pictures), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_timing_a_finished_run_leaves_it_finished(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0}, limit=1)
    run(settings, tmp_path / "run")
    rows = (tmp_path / "run/per_image.csv").read_bytes()
    time_only(settings, tmp_path / "run")
    assert (tmp_path / "run/per_image.csv").read_bytes() == rows
    assert "finished" in environment(tmp_path / "run")


def test_timing_with_fewer_images_than_a_call_takes(pictures: Path, tmp_path: Path) -> None:
    for path in sorted(pictures.rglob("*.png"))[1:]:
        path.write_text("no image")
    settings = config(pictures, timing={"repeats": 1, "warmup": 0, "batch_size": 3}, methods=["gradcam"])
    run(settings, tmp_path / "run")
    assert set(table(tmp_path / "run", "timing")["batch_size"]) == {3}
