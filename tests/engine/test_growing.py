"""A run that gains methods, images, metrics, protocols or times computes those alone, and equals one made whole."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from processes import Started
from tiny_runs import (
    config,
    contents,
    copy_of,
    counted,
    draw_plain,
    environment,
    run,
    set_up_once,
    stop_at,
    table,
    tables,
)

from reciprocam_bench.config import dump_config
from reciprocam_bench.engine import judge, loop
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics.evidence import Evidence

pytestmark = pytest.mark.slow

# Protocols want the same class, so that one run can have both.
BASE = {"methods": ["gradcam", "reciprocam", "cam"], "metrics": ["average_drop", "increase"], "classes": "predicted"}
BASE |= {"limit": 4}
GAINS = {
    "method": {"methods": ["layercam", "gradcam", "reciprocam", "cam"]},
    "images": {"limit": 7},
    "metric": {"metrics": ["complexity", "average_drop", "increase"]},
    "metric made of others": {"metrics": ["adcc", "increase"]},
    "protocol": {"protocol": ["recipro-2024", "poppi-2021"]},
    "all at once": {
        "methods": ["cam", "layercam", "gradcam", "reciprocam"],
        "metrics": ["adcc", "increase"],
        "protocol": ["poppi-2021", "recipro-2024"],
        "limit": 7,
    },
}


@pytest.fixture(scope="module", autouse=True)
def one_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        set_up_once(patch)
        yield


@pytest.fixture(scope="module")
def small(seven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three methods, two metrics and four images, to be copied."""
    folder = tmp_path_factory.mktemp("small") / "run"
    run(config(seven, **BASE), folder)
    return folder


@pytest.fixture(scope="module")
def whole(seven: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of a gain, made whole."""
    made: dict[str, Path] = {}

    def folder(gain: str) -> Path:
        if gain not in made:
            made[gain] = tmp_path_factory.mktemp("whole") / "run"
            run(config(seven, **{**BASE, **GAINS[gain]}), made[gain])
        return made[gain]

    return folder


def batches(folder: Path) -> list[list[str]]:
    """The images of each batch of two that could be read."""
    images, judged = table(folder, "images")["image"].tolist(), set(table(folder)["image"])
    cut = [[i for i in images[n : n + 2] if i in judged] for n in range(0, len(images), 2)]
    return [batch for batch in cut if batch]


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """The method and the number of images of each call of a method by the engine, not by metrics."""
    calls: list[tuple[str, int]] = []
    original = Method.__call__

    def counting(self: Method, fp: object) -> torch.Tensor:
        caller = sys._getframe(1).f_globals["__name__"]
        if caller == judge.__name__:
            calls.append((self.title, len(fp)))
        return original(self, fp)

    monkeypatch.setattr(Method, "__call__", counting)
    return calls


@pytest.mark.parametrize("gain", GAINS)
def test_a_run_that_gains_equals_one_made_whole(
    seven: Path, small: Path, whole: Callable[[str], Path], tmp_path: Path, gain: str
) -> None:
    folder = copy_of(small, tmp_path / "run")
    run(config(seven, **{**BASE, **GAINS[gain]}), folder)
    assert tables(folder) == tables(whole(gain))
    grown, made = environment(folder), environment(whole(gain))
    assert grown["definitions"] == made["definitions"]
    assert (len(grown["starts"]), "finished" in grown) == (2, True)
    assert "holds this run, finished" in run(config(seven, **{**BASE, **GAINS[gain]}), folder)


def test_a_gained_method_is_all_that_is_explained(
    seven: Path, small: Path, tmp_path: Path, explained: list[tuple[str, int]]
) -> None:
    run(config(seven, **{**BASE, **GAINS["method"]}), copy_of(small, tmp_path / "run"))
    readable = [len(b) for b in batches(small)]
    assert explained == [("layercam", size) for size in readable]


def test_gained_images_are_all_that_is_explained(
    seven: Path, small: Path, tmp_path: Path, explained: list[tuple[str, int]], whole: Callable[[str], Path]
) -> None:
    all_batches = [len(b) for b in batches(whole("images"))]
    explained.clear()
    run(config(seven, **{**BASE, **GAINS["images"]}), copy_of(small, tmp_path / "run"))
    added = all_batches[len(batches(small)) :]
    assert explained == [(method, size) for size in added for method in BASE["methods"]]


def test_images_that_fill_up_a_batch_are_judged_with_it(seven: Path, tmp_path: Path) -> None:
    run(config(seven, limit=3), tmp_path / "run")
    run(config(seven, limit=6), tmp_path / "run")
    run(config(seven, limit=6), tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_a_gained_metric_is_all_that_is_measured(
    seven: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = counted(monkeypatch, Evidence, "measure")
    run(config(seven, **{**BASE, **GAINS["metric"]}), copy_of(small, tmp_path / "run"))
    assert {metric.column for _, metric in measured} == {"complexity"}


def test_a_gained_protocol_is_all_that_is_judged(
    seven: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = counted(monkeypatch, loop, "judge_batch")
    run(config(seven, **{**BASE, **GAINS["protocol"]}), copy_of(small, tmp_path / "run"))
    assert [work.batch.protocol.name for _, work, *_ in judged] == ["recipro-2024"] * 2


def test_gained_times_are_all_that_is_computed(
    seven: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(small, tmp_path / "run")
    judged = counted(monkeypatch, loop, "judge_batch")
    timed = config(seven, **BASE, timing={"repeats": 1, "warmup": 0})
    run(timed, folder)
    assert judged == [] and tables(folder) == tables(small)
    assert set(table(folder, "timing")["method"]) == {"forward", *BASE["methods"]}
    before = contents(folder)
    assert "holds this run, finished" in run(timed, folder)
    assert contents(folder) == before
    run(config(seven, **BASE, timing={"repeats": 2, "warmup": 0}), folder)
    assert set(table(folder, "timing")["repeats"]) == {2} and judged == []


LOSSES = {
    "methods": {"methods": ["cam", "gradcam"]},
    "metrics": {"metrics": ["increase"]},
    "limit": {"limit": 3},
    "protocol": {"protocol": "poppi-2021"},
}


LARGE = {**BASE, **GAINS["all at once"], "metrics": ["average_drop", "increase"]}


@pytest.fixture(scope="module")
def large(seven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of all that may be lost, to be copied."""
    folder = tmp_path_factory.mktemp("large") / "run"
    run(config(seven, **LARGE), folder)
    return folder


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_that_loses_only_shows_less_and_regains_without_computing(
    seven: Path, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    first = tables(copy_of(large, tmp_path / "run"))
    judged = counted(monkeypatch, loop, "judge_batch")
    less = {**LARGE, **LOSSES[loss]}
    assert "holds this run, finished" in run(config(seven, **less), tmp_path / "run")
    assert judged == []
    monkeypatch.undo()
    run(config(seven, **less), tmp_path / "less")
    shown, made = (table(f, "summary") for f in (tmp_path / "run", tmp_path / "less"))
    assert shown.equals(made)
    judged = counted(monkeypatch, loop, "judge_batch")
    run(config(seven, **LARGE), tmp_path / "run")
    assert judged == [] and tables(tmp_path / "run") == first


@pytest.mark.parametrize("batch, written", [(0, "half"), (1, "after"), (2, "before"), (4, "half")])
def test_a_gain_that_is_stopped_goes_on_to_the_same_tables(
    seven: Path,
    small: Path,
    whole: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    written: str,
) -> None:
    larger = config(seven, **{**BASE, **GAINS["all at once"]})
    expected, folder = tables(whole("all at once")), copy_of(small, tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, batch, written)
        run(larger, folder)
    run(larger, folder)
    assert tables(folder) == expected


def test_a_metric_that_is_lost_while_images_are_gained_is_measured_on_them_when_it_comes_back(
    seven: Path, small: Path, tmp_path: Path
) -> None:
    folder = copy_of(small, tmp_path / "run")
    run(config(seven, **{**BASE, "metrics": ["increase"], "limit": 7}), folder)
    assert "average_drop" not in table(folder, "summary")
    assert (table(folder)["average_drop"] == "pending").sum() == len(BASE["methods"]) * 3
    run(config(seven, **{**BASE, "limit": 7}), folder)
    run(config(seven, **{**BASE, "limit": 7}), tmp_path / "whole")
    assert tables(folder) == tables(tmp_path / "whole")


def test_a_gain_that_is_killed_goes_on_to_the_same_tables(tmp_path: Path) -> None:
    root = draw_plain(tmp_path / "pictures", 24)
    slow = {"name": "reciprocam", "path": "reference"}
    before = config(root, batch_size=1, methods=["gradcam"], metrics=["increase"], limit=20)
    after = config(root, batch_size=1, methods=["cam", slow, "gradcam"], metrics=["complexity", "increase"])
    run(before, tmp_path / "run")
    (tmp_path / "kill.yaml").write_text(dump_config(after))
    rows = tmp_path / "run/per_image.csv"
    process = Started("run", "-c", "kill.yaml", "-o", "run", "--quiet", cwd=tmp_path)
    try:
        while process.returncode is None and rows.read_text().count("\n") < 1 + 20 + 3 * 4:
            time.sleep(0.01)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert rows.read_text().count("\n") < 1 + 20 + 3 * 24
    run(after, tmp_path / "run")
    run(after, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"batch_size": 3}, "batch_size was 2, is 3"),
        ({"classes": "label", "limit": 1}, "classes was predicted, is label"),
        ({"preprocess": "model"}, "preprocess was protocol, is model"),
        ({"memory_mb": 99}, "memory_mb was None, is 99"),
        ({"backbone": {"model": "timm/test_resnet", "weights": "none", "layer": "layer3"}}, "backbone.layer was auto"),
        (
            {"backbone": {"model": "timm/test_vit", "weights": "none"}},
            "backbone.model was timm/test_resnet, is timm/te",
        ),
        ({"methods": [{"name": "layercam", "label": "gradcam"}]}, "method 'gradcam' was gradcam, is layercam"),
    ],
)
def test_what_changes_values_is_refused_with_what_changed(
    seven: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, told: str
) -> None:
    folder = copy_of(small, tmp_path / "run")
    before = contents(folder)
    root = seven
    if change.get("classes") == "label":  # which needs labels
        (tmp_path / "labels.csv").write_text("".join(f"{p.name},1\n" for p in seven.iterdir()))
        dataset = {"name": "folder", "root": str(root), "labels": str(tmp_path / "labels.csv")}
        run(config(root, **{**BASE, "dataset": dataset}), folder, fresh=True)
        before, change = contents(folder), {**change, "dataset": dataset}
    with pytest.raises(UserError) as caught:
        run(config(root, **{**BASE, "methods": ["gradcam"], **change}), folder)
    assert str(caught.value).startswith(f"{folder} holds a finished run of another config ({told}")
    assert str(caught.value).endswith("; give --output another folder, or --fresh to replace it")
    assert contents(folder) == before


def test_a_label_keeps_its_metric_and_options(seven: Path, tmp_path: Path) -> None:
    def labelled(**options: object) -> dict:
        return {"methods": ["gradcam"], "metrics": [{"name": "gini", "label": "mine"}, {**options, "label": "other"}]}

    top = {"name": "top_drop", "keep": 0.5}
    run(config(seven, **{**BASE, **labelled(**top)}), tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(UserError, match=r"metric 'other': metric was top_drop\[keep=0.5\], is top_drop\[keep=0.25\]"):
        run(config(seven, **{**BASE, **labelled(**{**top, "keep": 0.25})}), tmp_path / "run")
    assert contents(tmp_path / "run") == before
