"""``save_maps: true``: what joins a run later need not explain again."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_runs import config, counted, draw_plain, run, stop_at, tables

from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import Method

pytestmark = pytest.mark.slow

# No metric explains the masked image again, so that every explanation counted is one of the images.
SMALL = {"methods": ["gradcam", "reciprocam"], "metrics": ["average_drop"], "classes": "predicted", "save_maps": True}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_plain(tmp_path / "pictures", 5)


def maps(folder: Path) -> list[Path]:
    return sorted((folder / "raw_maps").rglob("*.safetensors"))


def test_a_file_holds_the_maps_of_a_batch(root: Path, tmp_path: Path) -> None:
    run(config(root, **SMALL), tmp_path / "run")
    shapes = [tuple(load_file(str(path))["maps"].shape) for path in maps(tmp_path / "run")]
    assert sorted(shapes) == [(1, 7, 7)] * 2 + [(2, 7, 7)] * 4
    run(config(root, **{**SMALL, "save_maps": False}), tmp_path / "none")
    assert not (tmp_path / "none/raw_maps").exists()
    assert tables(tmp_path / "run") == tables(tmp_path / "none")


@pytest.mark.parametrize(
    "gain, explained",
    [
        ({"metrics": ["average_drop", "complexity", "increase"]}, set()),
        ({"methods": ["cam", "gradcam", "reciprocam"]}, {"cam"}),
        ({"metrics": ["complexity"], "methods": ["cam", "gradcam"]}, {"cam"}),
    ],
)
def test_what_joins_is_not_explained_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: dict, explained: set[str]
) -> None:
    run(config(root, **SMALL), tmp_path / "run")
    run(config(root, **{**SMALL, **gain}), tmp_path / "whole")
    calls = counted(monkeypatch, Method, "__call__")
    run(config(root, **{**SMALL, **gain}), tmp_path / "run")
    assert {method.title for method, _ in calls} == explained
    assert (tmp_path / "run/summary.csv").read_bytes() == (tmp_path / "whole/summary.csv").read_bytes()


def test_without_saved_maps_a_gained_metric_explains_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(root, **{**SMALL, "save_maps": False}), tmp_path / "run")
    calls = counted(monkeypatch, Method, "__call__")
    run(config(root, **{**SMALL, "metrics": ["complexity"]}), tmp_path / "run")
    assert len(calls) == 6 and len(maps(tmp_path / "run")) == 6


def test_protocols_that_prepare_images_alike_share_their_maps(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = {**SMALL, "preprocess": "model"}
    run(config(root, **alike), tmp_path / "run")
    calls = counted(monkeypatch, Method, "__call__")
    run(config(root, **alike, protocol=["poppi-2021", "recipro-2024"]), tmp_path / "run")
    assert calls == [] and len(maps(tmp_path / "run")) == 6
    run(config(root, **SMALL), tmp_path / "other")
    calls.clear()
    run(config(root, **SMALL, protocol=["poppi-2021", "recipro-2024"]), tmp_path / "other")
    assert len(calls) == 6 and len(maps(tmp_path / "other")) == 12


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_maps_that_cannot_be_read_are_made_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    run(config(root, **SMALL), tmp_path / "run")
    first = maps(tmp_path / "run")[0]
    good = first.read_bytes()
    first.write_bytes(good[:-7] if damage is None else damage)
    calls = counted(monkeypatch, Method, "__call__")
    gained = config(root, **{**SMALL, "metrics": ["average_drop", "complexity"]})
    run(gained, tmp_path / "run")
    assert len(calls) == 1 and first.read_bytes() == good
    monkeypatch.undo()
    run(gained, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_maps_that_cannot_be_saved_stop_the_run_in_one_line(root: Path, tmp_path: Path) -> None:
    run(config(root, **SMALL), tmp_path / "run")
    folder = maps(tmp_path / "run")[0].parent
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.raises(
        UserError, match=r"safetensors cannot be written: .*; what is done is kept, free the disk and run"
    ):
        run(config(root, **{**SMALL, "metrics": ["complexity"]}), tmp_path / "run")


def test_a_stopped_run_takes_the_maps_that_it_saved(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1, "before")
        run(config(root, **SMALL), tmp_path / "run")
    calls = counted(monkeypatch, Method, "__call__")
    run(config(root, **SMALL), tmp_path / "run")
    assert [len(fp) for _, fp in calls] == [1, 1]
