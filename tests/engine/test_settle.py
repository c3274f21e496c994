"""``auto`` for batches and reading processes: what is chosen, and that a run folder keeps it."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from tiny_runs import config, run, set_up_once, time_only

import reciprocam_bench as rb
from reciprocam_bench.config import parse_config
from reciprocam_bench.engine import settle
from reciprocam_bench.engine.ranks import Rank
from reciprocam_bench.errors import UserError

pytestmark = pytest.mark.slow


def resolved(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("device", "fitting", "chosen"),
    [("cpu", 64, 8), ("cpu", 8, 8), ("cpu", 7, 4), ("cpu", 1, 1), ("cuda", 256, 64), ("cuda", 63, 32), ("mps", 12, 8)],
)
def test_a_batch_fits_the_memory(tiny: rb.Backbone, device: str, fitting: int, chosen: int) -> None:
    other = replace(tiny, device=torch.device(device), memory_budget=fitting * tiny.bytes_per_image)
    assert settle.batch_size(other) == chosen


@pytest.mark.parametrize(
    ("device", "processes", "cores", "threads", "chosen"),
    [
        *[("cpu", 1, 2, 2, 0), ("cpu", 1, 4, 1, 3), ("cpu", 1, 2, 8, 0), ("cpu", 1, 64, 4, 8)],
        *[("cuda", 1, 16, 16, 8), ("cuda", 1, 1, 1, 0)],
        *[("cpu", 4, 16, 4, 0), ("cpu", 2, 8, 1, 3), ("cuda", 8, 32, 4, 3), ("cuda", 8, 4, 1, 0)],
    ],
)
def test_cores_without_work_read(
    tiny: rb.Backbone,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    processes: int,
    cores: int,
    threads: int,
    chosen: int,
) -> None:
    monkeypatch.setattr(settle, "this_rank", lambda: Rank(0, processes))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert settle.workers(replace(tiny, device=torch.device(device))) == chosen


def test_numbers_are_left_alone(pictures: Path) -> None:
    experiment = SimpleNamespace(config=config(pictures, batch_size=3, workers=0))
    assert settle.settled(experiment, config(pictures, batch_size=5)) is experiment  # type: ignore[arg-type]


def test_a_run_that_goes_on_keeps_its_numbers(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_once(monkeypatch)
    folder, auto = tmp_path / "run", {"batch_size": "auto", "workers": "auto"}
    monkeypatch.setattr(settle, "batch_size", lambda backbone: 4)
    monkeypatch.setattr(settle, "workers", lambda backbone: 0)
    assert "batch_size 4, workers 0" in run(config(pictures, limit=2, **auto), folder)
    assert (resolved(folder)["batch_size"], resolved(folder)["workers"]) == (4, 0)
    assert parse_config(resolved(folder), "saved") == config(pictures, limit=2, batch_size=4)

    monkeypatch.setattr(settle, "batch_size", lambda backbone: 2)
    monkeypatch.setattr(settle, "workers", lambda backbone: 1)
    said = run(config(pictures, limit=6, **auto), folder)
    assert "batch_size 4, workers 0" in said and resolved(folder)["batch_size"] == 4
    run(config(pictures, limit=6, batch_size=4), tmp_path / "by hand")
    assert (folder / "per_image.csv").read_bytes() == (tmp_path / "by hand" / "per_image.csv").read_bytes()
    assert "finished; --fresh runs it anew" in run(config(pictures, limit=6, **auto), folder)

    with pytest.raises(UserError, match="batch_size was 4, is 3"):
        run(config(pictures, limit=6, batch_size=3), folder)
    run(config(pictures, limit=2, **auto), folder, fresh=True)
    assert (resolved(folder)["batch_size"], resolved(folder)["workers"]) == (2, 1)


def test_timing_alone_settles_too(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, batch_size="auto", timing={"repeats": 1, "warmup": 0}, methods=["gradcam"])
    time_only(settings, tmp_path / "run")
    assert resolved(tmp_path / "run")["batch_size"] == 8


@pytest.mark.parametrize(
    ("key", "value"), [("batch_size", True), ("batch_size", 0), ("workers", -1), ("workers", "all")]
)
def test_what_is_no_number_is_refused(pictures: Path, key: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^test: {key}: give a number( of \w+ from \d to [\d,]+, or auto)?, not "):
        config(pictures, **{key: value})
