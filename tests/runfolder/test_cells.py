"""Text that a spreadsheet would run is written behind an apostrophe, and read as it was."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from tiny_runs import config, draw, run

from reciprocam_bench.reporting.report import report
from reciprocam_bench.runfolder.cells import marked, unmarked
from reciprocam_bench.runfolder.record import read_record
from reciprocam_bench.runfolder.rows import GrowingTable
from reciprocam_bench.runfolder.tables import read_table, to_csv

FORMULAS = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "-", "'=x", "''@", "--1", '=HYPERLINK("x")']
PLAIN = ["cat", "", "a=b", "'", "''", "'cat", "1+1", " =1"]
NUMBERS = ["-1", "+1.5", "-0.25e-3", "-inf", "12"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_marked_and_comes_back(text: str) -> None:
    assert marked(text) == f"'{text}"
    assert unmarked(marked(text)) == text


@pytest.mark.parametrize("value", [*PLAIN, *NUMBERS, -3, -0.5, None, True])
def test_what_is_no_formula_stays_as_it_is(value: object) -> None:
    assert marked(value) is value
    assert not isinstance(value, str) or unmarked(value) == value


def test_a_table_and_rows_that_are_added_come_back(tmp_path: Path) -> None:
    texts = [text for text in FORMULAS + PLAIN if "\r" not in text]
    table = pd.DataFrame({"=image": texts, "value": [-float(i) for i in range(len(texts))]}, dtype=object)
    grown = GrowingTable(tmp_path / "a.csv", list(table.columns))
    grown.replace(table[:5].astype(str))
    grown.append(table[5:].to_dict("records"))
    with (tmp_path / "a.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@") or (cell[:1] == "-" and not float(cell) <= 0)]
    back = read_table(tmp_path / "a.csv", "")
    assert list(back["=image"]) == texts
    assert [float(value) for value in back["value"]] == [-float(i) for i in range(len(texts))]
    before = (tmp_path / "a.csv").stat().st_mtime_ns
    grown.replace(back)
    assert (tmp_path / "a.csv").stat().st_mtime_ns == before
    assert to_csv(back).count("'") == (tmp_path / "a.csv").read_text().count("'")


@pytest.mark.slow
def test_a_run_of_hostile_names_is_read_and_reported(tmp_path: Path) -> None:
    root = draw(["=cmd|' !A0.png", "@sum.png", "-1.png", "<img src=x>.png"], tmp_path / "pictures")
    methods = [{"name": "gradcam", "label": "=HYPERLINK(1)"}, {"name": "cam", "label": "<script>x</script>"}]
    run(config(root, methods=methods), tmp_path / "run")
    run(config(root, methods=methods, metrics=["average_drop"]), tmp_path / "run")
    rows = read_record(tmp_path / "run").rows()
    assert set(rows["image"]) == {p.name for p in root.iterdir()}
    assert set(rows["method"]) == {"=HYPERLINK(1)", "<script>x</script>"}
    text = (tmp_path / "run/per_image.csv").read_text()
    assert ",'=HYPERLINK(1)," in text and ",=" not in text
    assert "\\<script>x\\</script>" in report(tmp_path / "run", "markdown")
    assert "'=HYPERLINK(1)" in report(tmp_path / "run", "csv")
