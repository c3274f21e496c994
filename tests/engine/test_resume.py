"""A run that was stopped, in whatever way, ends in the same tables as one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from reciprocam_bench.engine.store import Rows

from reciprocam_bench.config import Config, dump_config, parse_config
from reciprocam_bench.engine.complete import complete
from reciprocam_bench.errors import UserError

TABLES = ("per_image.csv", "summary.csv", "skipped.csv")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw_pictures(root: Path, count: int) -> Path:
    root.mkdir()
    generator = np.random.default_rng(0)
    for i in range(count):
        pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(root / f"{i:03d}.png")
    return root


def config(root: Path, **changes: object) -> Config:
    data = {
        "backbone": {"model": "timm/test_resnet", "weights": "none"},
        "dataset": {"name": "folder", "root": str(root)},
        "methods": ["gradcam", "reciprocam"],
        "batch_size": 2,
        "device": "cpu",
        "threads": 1,
        "maps": 0,
    }
    return parse_config({**data, **changes}, "test")


def run(settings: Config, folder: Path, fresh: bool = False) -> str:
    said: list[str] = []
    complete(settings, folder, fresh=fresh, quiet=True, say=said.append)
    return "\n".join(said)


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def unfinish(folder: Path) -> None:
    """Leave what a kill while judging leaves: rows, but no summary and no word of an end."""
    environment = json.loads((folder / "environment.json").read_text())
    del environment["finished"]
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "summary.csv").unlink()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images, the second of which cannot be read."""
    root = draw_pictures(tmp_path_factory.mktemp("resume") / "pictures", 7)
    (root / "001.png").write_text("no image")
    return root


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, not stopped."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(config(pictures), folder)
    return folder


def stop_at(monkeypatch: pytest.MonkeyPatch, batch: int, written: str) -> None:
    """Press Ctrl-C at a batch's write: before it, half-way through, or after it."""
    append, calls = Rows.append, []

    def stopping(self: Rows, rows: list) -> None:
        if self.path.name != "per_image.csv":
            return append(self, rows)
        calls.append(rows)
        if len(calls) <= batch:
            return append(self, rows)
        if written == "after":
            append(self, rows)
        elif written == "half":
            size = self.path.stat().st_size
            append(self, rows)
            os.truncate(self.path, (size + self.path.stat().st_size) // 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(Rows, "append", stopping)


@pytest.mark.parametrize(
    "batch, written", [(0, "before"), (0, "after"), (1, "half"), (2, "before"), (2, "after"), (3, "half")]
)
def test_a_stopped_run_continues_to_the_same_tables(
    pictures: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, written: str
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, batch, written)
        run(config(pictures), tmp_path / "run")
    assert not (tmp_path / "run/summary.csv").exists()
    judged: list[int] = []
    append = Rows.append
    monkeypatch.setattr(Rows, "append", lambda self, rows: (judged.append(self.path.name), append(self, rows)))
    run(config(pictures), tmp_path / "run")
    assert tables(tmp_path / "run") == tables(whole)
    assert judged.count("per_image.csv") == 4 - batch - (written == "after")


def test_a_run_stopped_twice_in_the_second_protocol(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(pictures, protocol=["poppi-2021", "recipro-2024"], classes="predicted", limit=4)
    run(settings, tmp_path / "whole")
    for batch in (1, 1):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, batch, "before")
            run(settings, tmp_path / "run")
    run(settings, tmp_path / "run")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_a_run_stopped_while_it_is_timed_does_not_judge_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0}, limit=3)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("reciprocam_bench.engine.complete.time_experiment", stop)
        run(settings, tmp_path / "run")
    rows = (tmp_path / "run/per_image.csv").read_bytes()
    monkeypatch.setattr("reciprocam_bench.engine.run._judge_batch", stop)
    run(settings, tmp_path / "run")
    assert (tmp_path / "run/per_image.csv").read_bytes() == rows
    assert (tmp_path / "run/timing.csv").is_file()


@pytest.mark.parametrize(
    "cut, tail", [*((cut, b"") for cut in (0, 20, 0.3, 0.5, 0.77, -1, -3)), (0.5, b"\0" * 64), (-1, b"\0" * 64)]
)
def test_a_torn_table_is_repaired(pictures: Path, whole: Path, tmp_path: Path, cut: float, tail: bytes) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    for path in whole.iterdir():
        (run_folder / path.name).write_bytes(path.read_bytes())
    unfinish(run_folder)
    content = (whole / "per_image.csv").read_bytes()
    kept = content[: int(cut * len(content)) if isinstance(cut, float) else cut]
    (run_folder / "per_image.csv").write_bytes(kept + tail)
    run(config(pictures), run_folder)
    assert tables(run_folder) == tables(whole)


@pytest.mark.parametrize("lost", ["per_image.csv", "skipped.csv", "environment.json"])
def test_a_lost_file_is_made_again(pictures: Path, whole: Path, tmp_path: Path, lost: str) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    for path in whole.iterdir():
        (run_folder / path.name).write_bytes(path.read_bytes())
    unfinish(run_folder)
    (run_folder / lost).unlink()
    run(config(pictures), run_folder)
    assert tables(run_folder) == tables(whole)


def test_a_finished_run_asked_for_again_changes_nothing_and_says_so(pictures: Path, whole: Path) -> None:
    before = everything(whole)
    assert run(config(pictures), whole) == f"{whole} holds this run, finished; --fresh runs it anew"
    assert everything(whole) == before


def test_another_config_is_refused_and_fresh_replaces(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(config(pictures, limit=2, maps=1), folder)
    before = {path: content for path, (content, _) in everything(folder).items()}
    with pytest.raises(UserError, match=r"holds a finished run of another config; give --output .*, or --fresh"):
        run(config(pictures, limit=1), folder)
    assert {path: content for path, (content, _) in everything(folder).items()} == before
    run(config(pictures, limit=1), folder, fresh=True)
    assert len((folder / "per_image.csv").read_text().splitlines()) == 3
    assert not (folder / "maps").exists()


def test_fresh_runs_the_same_config_anew(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, limit=1), tmp_path / "run")
    first = tables(tmp_path / "run")
    (tmp_path / "run/per_image.csv").write_text("spoilt")
    run(config(pictures, limit=1), tmp_path / "run", fresh=True)
    assert tables(tmp_path / "run") == first


def test_a_mistake_in_the_config_is_found_before_fresh_deletes_anything(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, limit=1), tmp_path / "run")
    before = everything(tmp_path / "run")
    backbone = {"model": "timm/test_resnet", "weights": "none", "layer": "layer9"}
    with pytest.raises(UserError, match="layer9"):
        run(config(pictures, limit=1, backbone=backbone), tmp_path / "run", fresh=True)
    assert everything(tmp_path / "run") == before


def test_an_unfinished_run_begun_under_other_conditions_is_refused(pictures: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    unfinish(folder)
    environment = json.loads((folder / "environment.json").read_text())
    environment["fingerprint"]["torch"] = "1.0"
    (folder / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(UserError, match=r"begun under other conditions \(torch was 1\.0, is .*\); use --fresh"):
        run(config(pictures), folder)
    run(config(pictures), folder, fresh=True)
    assert tables(folder) == tables(whole)


def test_seconds_of_earlier_starts_are_added_up(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1, "before")
        run(config(pictures), tmp_path / "run")
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert "finished" not in environment
    environment["seconds"]["explain"] = 1000
    (tmp_path / "run/environment.json").write_text(json.dumps(environment))
    run(config(pictures), tmp_path / "run")
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert 1000 < environment["seconds"]["explain"] < 1100
    assert "finished" in environment


def test_a_killed_process_started_again_ends_in_the_same_tables(tmp_path: Path) -> None:
    root = draw_pictures(tmp_path / "pictures", 24)
    settings = config(root, batch_size=1, methods=["gradcam", {"name": "reciprocam", "path": "reference"}])
    (tmp_path / "kill.yaml").write_text(dump_config(settings))
    rows, command = tmp_path / "run/per_image.csv", [sys.executable, "-m", "reciprocam_bench"]
    process = subprocess.Popen([*command, "run", "-c", "kill.yaml", "-o", "run", "--quiet"], cwd=tmp_path)
    try:
        while process.poll() is None and not (rows.is_file() and rows.read_text().count("\n") > 6):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 6 < rows.read_text().count("\n") < 49
    assert not (tmp_path / "run/summary.csv").exists()
    run(parse_config(yaml.safe_load((tmp_path / "kill.yaml").read_text()), "test"), tmp_path / "run")
    run(settings, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")
