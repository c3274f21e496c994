"""The judgement of metrics, by hand and on a tiny run; the committed one says what its page says."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import tiny_runs as tiny
from load_script import load_script

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.runfolder.record import read_record

ROOT = Path(__file__).resolve().parents[2]
CONTROL = {name: name for name in ("oracle", "random", "ones")}
CONTROLLED = ["gradcam", *CONTROL]
METRICS = ["relevance_rank_accuracy", "energy_pointing_game", "complexity"]


@pytest.fixture
def script() -> ModuleType:
    return load_script("known_truth")


def call(script: ModuleType, monkeypatch: pytest.MonkeyPatch, run: Path, output: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["known_truth.py", str(run), "--output", str(output)])
    script.main()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Callable[..., str]) -> Path:
    """Two methods on drawn pictures: one that is nearly right, one that is wrong."""
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path / "cache"))

    def near(fp: ForwardPass):
        assert fp.objects is not None
        return fp.objects.roll(2, -1) + 0.1 * fp.objects

    method("near", near, objects=True)
    method("wrong", lambda fp: 1.5 - fp.objects + fp.images[:, 0].sigmoid(), objects=True)
    data = {"name": "synthetic", "images": 24}
    methods = ["near", "wrong", "oracle", "random", "ones"]
    config = tiny.config(tmp_path, dataset=data, classes="label", methods=methods, metrics=METRICS, batch_size=8)
    tiny.run(config, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": 5, "b": 4, "c": 3}, (True, True, True, 1.0, True)),
        ({"a": 5, "b": 5, "c": 3}, (True, True, True, 2 / 3, True)),  # a tie is of neither side
        ({"a": 3, "b": 4, "c": 5}, (True, True, True, -1.0, False)),
        ({"a": 10, "b": 4, "c": 3}, (False, True, True, 1.0, False)),
        ({"a": 9, "b": 4, "c": 3}, (True, True, True, 1.0, True)),  # as good as the oracle is not better
        ({"a": 5, "b": 4, "c": 1}, (True, False, True, 1.0, False)),  # as bad as noise is not better
        ({"a": 5, "b": 4, "c": 0.5}, (True, False, True, 1.0, False)),
        ({"a": 5, "b": 4, "c": 0}, (True, False, False, 1.0, False)),
    ],
)
def test_a_metric_is_judged_by_controls_and_pairs(script: ModuleType, values: dict, expected: tuple) -> None:
    score = pd.Series(values | {"oracle": 9, "random": 1, "ones": 0})
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    assert tuple(script.judge(score, pairs, ["a", "b", "c"], CONTROL).values()) == pytest.approx(expected)


def test_a_run_is_judged(script: ModuleType, monkeypatch: pytest.MonkeyPatch, run: Path, tmp_path: Path) -> None:
    call(script, monkeypatch, run, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/metrics.csv").set_index("metric")
    assert list(table.index) == METRICS and list(table["asks"]) == ["the objects"] * 2 + ["map and network"]
    assert pd.read_csv(tmp_path / "out/pairs.csv").to_numpy().tolist() == [["near", "wrong"]]
    assert table["oracle first"].tolist()[:2] == [True, True]
    # The one that marks all but the object is worse than noise.
    assert not table.loc["relevance_rank_accuracy", "random last"]
    assert (table["tau"] == 1).all()
    ranks = pd.read_csv(tmp_path / "out/ranks.csv", index_col="method")
    assert ranks.loc["oracle", "relevance_rank_accuracy"] == 1 and ranks.loc["near", "relevance_rank_accuracy"] == 2
    assert "24 pictures of `synthetic`" in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ["gradcam", "oracle", "random"]}, "has no method 'ones'; add it to the config and run again"),
        (
            {"metrics": ["complexity"], "methods": CONTROLLED},
            "has no metric 'relevance_rank_accuracy'; add it",
        ),
        ({"methods": CONTROLLED}, "the truth tells no two methods apart"),
    ],
)
def test_what_is_missing_is_told(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    changes: dict,
    words: str,
) -> None:
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path / "cache"))
    asked = {"dataset": {"name": "synthetic", "images": 2}, "classes": "label", "methods": ["gradcam"]}
    tiny.run(tiny.config(tmp_path, **(asked | {"metrics": METRICS} | changes)), tmp_path / "run")
    with pytest.raises(SystemExit) as end:
        call(script, monkeypatch, tmp_path / "run", tmp_path / "out")
    assert end.value.code == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_committed_judgement_is_that_of_the_committed_run(script: ModuleType) -> None:
    made = dict(script.texts(ROOT / "results/synthetic"))
    for name in ("metrics.csv", "ranks.csv", "pairs.csv", "table.md", "truth.md", "README.md"):
        assert (ROOT / "results/known_truth" / name).read_text("utf-8") == made[name], name


def test_the_page_explains_every_metric_that_fails_and_none_that_does_not() -> None:
    page = (ROOT / "docs/known_truth.md").read_text("utf-8")
    why = page.partition("## Why the others fail")[2].partition("\n## ")[0]
    table = pd.read_csv(ROOT / "results/known_truth/metrics.csv").set_index("metric")["trusted"]
    named = set(re.findall(r"`(\w+)`", why)) & set(table.index)
    assert named == set(table.index[~table])


def test_the_committed_run_is_of_a_network_that_knows_the_pictures() -> None:
    record = read_record(ROOT / "results/synthetic")
    summary = record.summary()
    assert summary is not None and summary["top1"].min() > 95 and not summary["errors"].any()
