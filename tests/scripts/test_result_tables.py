"""Tables that turn what runs hold: the same numbers, a column a network or a row a metric."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from load_script import load_script

from reciprocam_bench.reporting.compare import compare

RESULTS = Path(__file__).resolve().parents[2] / "results"
RUNS = ("quickstart", "resnet18_imagenet_subset")


@pytest.fixture(scope="module")
def script():
    return load_script("result_tables")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two committed runs, which have two protocols, two networks and other methods in common than all."""
    path = tmp_path_factory.mktemp("results")
    for name in RUNS:
        shutil.copytree(RESULTS / name, path / "suite" / name)
    (path / "suite" / "suite.yaml").write_text(f"runs: [{', '.join(RUNS)}]\n")
    compare([path / "suite"], "csv", metrics=["adcc"])
    return path


def cells(text: str) -> list[list[str]]:
    """The cells of a page's tables, without the marks of the best."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|") and "--" not in line]
    return [
        [cell.strip().replace("**", "").removeprefix("<ins>").removesuffix("</ins>") for cell in row] for row in rows
    ]


def test_each_network_is_a_column_and_says_what_its_summary_says(script, results):
    page = script.networks(results, "suite")
    heading, *rows = cells(page.partition("under recipro-2024")[0])
    assert heading == ["method", "tf_efficientnet_lite0", "resnet18"]
    for place, name in enumerate(RUNS, start=1):
        summary = pd.read_csv(RESULTS / name / "summary.csv")
        summary = summary[summary["protocol"] == "poppi-2021"]
        found = {row[0]: row[place] for row in rows if row[place]}
        assert found == {m: f"{v:.2f}" for m, v in zip(summary["method"], summary["adcc"], strict=True)}
    assert [row[2] for row in rows if row[0].startswith("fasterscorecam")] == [""], "it was not judged there"
    paired = pd.read_csv(results / "suite" / "comparison.csv").query("method == 'reciprocam' and against == 'gradcam'")
    told = [row for row in cells(page.partition("less that of Grad-CAM")[2]) if row[0] != "network"]
    assert [row[1] for row in told] == list(paired["protocol"]) and [row[-1] for row in told] == list(paired["verdict"])
    assert [float(row[3]) for row in told] == pytest.approx(list(paired["difference"]), abs=0.006)


def test_a_difference_is_told_as_compare_tells_it(script, results, tmp_path):
    page = script.metric_differences(results, "suite")
    first, second = page.split("Recipro-CAM less Grad-CAM")[1:]
    assert "protocol poppi-2021, 16 to 500 images" in first and "protocol recipro-2024, 500 images" in second
    heading, *rows = cells(second)
    assert heading == ["metric", "resnet18"], "the other network has no rows under this protocol"
    compare([RESULTS / RUNS[1]], "csv", baseline="gradcam", output=tmp_path)
    told = pd.read_csv(tmp_path / "comparison.csv").query("method == 'reciprocam' and protocol == 'recipro-2024'")
    assert len(rows) == len(told) > 4
    for (_, cell), one in zip(rows, told.itertuples(), strict=True):
        number, _, word = cell.partition(" ")
        assert float(number) == pytest.approx(one.difference, abs=0.006)
        assert (word or "cannot be told") == one.verdict
    assert {cell.partition(" ")[2] for _, cell in rows} == {"", "better"}


def test_each_metric_is_a_row_and_says_what_asking_it_took(script, results):
    path = results / "suite" / "quickstart" / "environment.json"
    about = json.loads(path.read_text())
    about["seconds"]["metrics: average_drop"] = 2.0
    path.write_text(json.dumps(about))
    page = script.every_metric(results / "suite", "quickstart")
    heading, *rows = cells(page)
    summary = pd.read_csv(RESULTS / "quickstart" / "summary.csv").set_index("method")
    assert heading == ["metric", *summary.index, "ms"]
    drop = next(row for row in rows if row[0] == "Drop ↓")
    assert drop[1:-1] == [f"{value:.2f}" for value in summary["average_drop"]]
    assert drop[-1] == f"{1000 * 2.0 / summary['images'].sum():.0f}"
    assert {row[-1] for row in rows if row[0] != "Drop ↓"} == {""}, "not measured there"
