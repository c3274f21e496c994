"""What is said to be best is what the runs hold, and what was not measured is said to be so."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from load_script import load_script

from reciprocam_bench.reporting.compare import comparison
from reciprocam_bench.runfolder.record import read_record

RESULTS = Path(__file__).resolve().parents[2] / "results"
RUN = "resnet18_imagenet_subset"


@pytest.fixture(scope="module")
def script():
    return load_script("which_method")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name in (RUN, "resnet50_voc07_subset", "quickstart"):
        shutil.copytree(RESULTS / name, folder / name)
    (folder / "no_run").mkdir()
    return folder


@pytest.fixture(scope="module")
def text(script, results) -> str:
    return script.choice(results)


def rows(text: str, heading: str) -> list[dict[str, str]]:
    """The table under a heading; that in front of all for ``""``."""
    part = text if not heading else text.partition(f"## {heading}\n")[2]
    lines = [line for line in re.split(r"(?m)^## ", part)[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_the_best_and_who_is_not_told_from_it_are_as_compare_says(script, text):
    table = pd.read_csv(RESULTS / RUN / "summary.csv").set_index(["protocol", "method"])
    pairs = comparison([read_record(RESULTS / RUN)], "reciprocam", ["adcc"])
    found = rows(text, "No gradients")
    (row,) = (row for row in found if row["run"] == RUN and row["network, data, protocol"].endswith("poppi-2021"))
    best = table.loc["poppi-2021"].loc["reciprocam"]
    assert row["best"] == f"reciprocam {best['adcc']:.2f} ({best['adcc_low']:.2f} to {best['adcc_high']:.2f})"
    assert (row["by"], row["images"]) == ("ADCC ↑", "500")
    told = pairs[(pairs["protocol"] == "poppi-2021") & pairs["method"].isin(["cam", "reciprocam[mask=gaussian]"])]
    for _, pair in told.iterrows():
        column = "not told from it" if pair["verdict"] == script.UNTOLD else "worse"
        assert f"{pair['method']} {pair['value']:.2f}" in row[column]
    assert "gradcam" not in str(row)  # it differentiates


def test_only_methods_that_can_be_had_are_named(script):
    text = (RESULTS.parent / "docs/which_method.md").read_text("utf-8")  # test_update_readme.py: as it is made
    black = rows(text, "A black box")
    assert black
    for row in black:
        named = {word.partition("[")[0] for key in ("best", "worse") for word in re.findall(r"[a-z]+\S*", row[key])}
        assert named & set(script.BLACK_BOX)
        assert not named & {"gradcam", "cam", "reciprocam", "scorecam", "random", "center"}
    objects, keys = rows(text, "The heat lies on the object"), ("best", "not told from it", "worse")
    named = " ".join(row[key] for row in objects for key in keys)
    assert "gradcam" in named and "center" not in named and "oracle" not in named


def test_the_quickest_is_that_of_the_timing(text):
    timing = pd.read_csv(RESULTS / "quickstart/timing.csv")
    timing = timing[timing["scope"] == "end-to-end"].sort_values("median_ms")
    (row,) = rows(text, "Quick")
    assert row["quickest"] == timing["method"].iloc[0]
    assert row["median ms"] == f"{timing['median_ms'].iloc[0]:.3g}"
    assert row["then"].split(", ")[0].startswith(timing["method"].iloc[1])


def test_what_no_run_holds_is_not_measured(text):
    short = {row["need"]: row for row in rows(text, "")}
    best = {need: row["the best, as far as can be told"] for need, row in short.items()}
    assert best["A black box"] == best["Quick, on a GPU"] == "not measured"
    assert short["Quick, on a CPU"]["comparisons"] == "1 timed" and "cam 1 of 1" in best["Quick, on a CPU"]
    assert "scorecam" not in best["Quick, on a CPU"]
    assert short["Another class has another map"]["comparisons"].startswith("1 of ")
    assert "`random_logit`: not measured" in text


def test_the_short_table_counts_where_a_method_is_among_the_best(script):
    def run(what: str, best: str, untold: list[str], worse: list[str], images: int) -> object:
        return script.Found("run", what, images, "ADCC ↑", f"{best} 9.00 (8.00 to 9.50)", untold, worse)

    rows = [run("n", "a[x=1]", ["b 8.00"], ["c 1.00"], 20), run("m", "b", [], ["a[x=1] 2.00"], 500)]
    rows += [run("m", "a[x=1]", ["b 1.00"], ["d 0.00"], 300)]  # again with fewer images: d alone is asked anew
    alone = run("k", "c", [], [], 900)
    assert script._counted([*rows, alone]) == {
        "the best, as far as can be told": "b 2 of 2, a[x=1] 1 of 2",
        "by": "ADCC ↑",
        "comparisons": "2 of 20 to 500 images",
    }
    assert script._counted([alone]) == script._short("not measured"), "one method alone is no choice"


def test_a_run_that_is_added_is_in_the_table(script, tmp_path):
    shutil.copytree(RESULTS / "resnet50_voc07_subset", tmp_path / "a_new_run")
    assert {row["run"] for row in rows(script.choice(tmp_path), "No gradients")} == {"a_new_run"}


def test_a_long_list_is_cut(script):
    assert script._listed(["a 1", "b 2"]) == "a 1, b 2"
    assert script._listed([f"m{i}" for i in range(8)]) == "m0, m1, m2, m3, m4 and 3 more"
