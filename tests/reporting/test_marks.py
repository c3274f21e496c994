"""Best in bold, second underlined: only where the paired comparison says so."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import METRICS, rows, values, write

from reciprocam_bench.reporting.best import TOLD, told_marks
from reciprocam_bench.reporting.marks import BEST, SECOND, largest_marks, marked
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import write_tables
from reciprocam_bench.reporting.terminal import to_terminal
from reciprocam_bench.runfolder.record import read_record


def run_of(path: Path, better: dict[str, float], images: int = 12) -> Path:
    """A run whose methods have the same values on each image, but for how much better they are."""
    folder = write(path, rows({method: values(images, 0, by) for method, by in better.items()}))
    write_tables(folder)
    return folder


def marks_of(folder: Path) -> dict[str, str]:
    """The marks of coherency by method; those of every other metric are the same."""
    record = read_record(folder)
    summary = record.summary()
    assert summary is not None
    marks = told_marks(record, record.rows(), summary)
    assert list(marks.columns) == list(METRICS) and all(marks[name].equals(marks["coherency"]) for name in marks)
    return dict(zip(summary["method"], marks["coherency"], strict=True))


@pytest.mark.parametrize(
    ("better", "marks"),
    [
        ({"a": 0.2, "b": 0.1, "c": 0.0}, [BEST, SECOND, ""]),
        ({"a": 0.0, "b": 0.2, "c": 0.1}, ["", BEST, SECOND]),
        ({"a": 0.2, "b": 0.1, "c": 0.1}, [BEST, "", ""]),  # no second is told
        ({"a": 0.2, "b": 0.2, "c": 0.1}, ["", "", ""]),  # no second without a best
        ({"a": 0.2, "b": 0.1}, [BEST, ""]),  # of two the other is no second
        ({"a": 0.2}, [""]),
    ],
)
def test_a_value_is_marked_where_all_its_differences_are_told(tmp_path: Path, better: dict, marks: list[str]) -> None:
    assert list(marks_of(run_of(tmp_path / "run", better)).values()) == marks


def test_few_images_tell_nothing(tmp_path: Path) -> None:
    """Of four images p is 2 / 2**4 at least."""
    assert set(marks_of(run_of(tmp_path / "run", {"a": 0.2, "b": 0.1}, images=4)).values()) == {""}


def test_noise_is_not_marked_and_p_is_adjusted_for_the_rivals(tmp_path: Path) -> None:
    """Six images tell one difference (p = 2 / 2**6 = 0.031), but not two."""
    assert BEST in marks_of(run_of(tmp_path / "two", {"a": 0.2, "b": 0.1}, images=6)).values()
    three = {"a": 0.2, "b": 0.1, "c": 0.0}
    assert BEST not in marks_of(run_of(tmp_path / "three", three, images=6)).values()
    noise = write(tmp_path / "noise", rows({method: values(40, seed) for seed, method in enumerate("abc")}))
    write_tables(noise)
    record = read_record(noise)
    summary = record.summary()
    assert summary is not None and not told_marks(record, record.rows(), summary).any(axis=None)


def test_protocols_do_not_compete(tmp_path: Path) -> None:
    protocols = ("poppi-2021", "recipro-2024")
    table = rows({"a": values(12, 0, 0.1), "b": values(12)}, protocols)
    table.loc[table["protocol"] == protocols[1], list(METRICS)] = 0.5
    folder = write(tmp_path / "run", table, config={"protocol": list(protocols)})
    write_tables(folder)
    record = read_record(folder)
    summary = record.summary()
    assert summary is not None
    assert list(told_marks(record, record.rows(), summary)["adcc"]) == [BEST, "", "", ""]


def test_only_the_number_is_marked() -> None:
    cells = pd.DataFrame({"Drop ↓": ["1.00 (9.00)", "2.00"], "method": ["a", "b"]})
    marks = pd.DataFrame({"Drop ↓": [BEST, SECOND], "not there": [BEST, ""]})
    found = marked(cells, marks, {BEST: "<{}>", SECOND: "_{}_"})
    assert list(found["Drop ↓"]) == ["<1.00> (9.00)", "_2.00_"] and list(found["method"]) == ["a", "b"]


def test_the_largest_of_each_group_is_best_where_no_rows_can_be_compared() -> None:
    table = pd.DataFrame(
        {"Drop ↓": ["9.00 (1.00)", "10.00", "3.00", ""], "ADCC ↑": ["80.00", "80.00", "70.00", "71.00"]}
    )
    found = largest_marks(table, ["p", "p", "q", "q"])
    assert list(found["Drop ↓"]) == [BEST, "", BEST, ""] and list(found["ADCC ↑"]) == [BEST, BEST, "", BEST]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("marks") / "run", {"cam": 0.2, "gradcam": 0.1, "reciprocam": 0.0})


def test_the_tables_of_a_run_are_marked(run: Path) -> None:
    summary = read_record(run).summary()
    assert summary is not None
    markdown, latex = report(run, "markdown"), report(run, "latex")
    for name in METRICS:
        for value, mark in zip(summary[name].map("{:.2f}".format), (BEST, SECOND, ""), strict=True):
            assert (f"**{value}**" in markdown and f"\\textbf{{{value}}}" in latex) == (mark == BEST)
            assert (f"<ins>{value}</ins>" in markdown and f"\\underline{{{value}}}" in latex) == (mark == SECOND)
    assert markdown.rstrip().endswith(f"{TOLD}.") and TOLD in latex
    assert f"\\label{{tab:summary-{run.name}}}" in latex, "tables of two runs of one network stand in one paper"


def test_what_cannot_be_told_is_not_marked_and_one_method_has_no_legend(tmp_path: Path) -> None:
    text = report(run_of(tmp_path / "alike", {"cam": 0.0, "gradcam": 0.0}), "markdown")
    assert "**" not in text and "<ins>" not in text and TOLD in text
    single = run_of(tmp_path / "single", {"cam": 0.0})
    assert TOLD not in report(single, "markdown") and r"\textbf" not in report(single, "latex")


def test_a_terminal_shows_marks_and_what_they_mean_and_a_pipe_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"method": ["a", "b"], "Drop ↓": ["1.00 (9.00)", "2.00"]})
    marks = pd.DataFrame({"Drop ↓": [BEST, SECOND]})
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    plain = to_terminal(table, 80, marks, "Bold: best")
    assert "\x1b" not in plain and "Bold" not in plain
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    styled = to_terminal(table, 80, marks, "Bold: best")
    assert "\x1b[1m1.00\x1b[0m (9.00)" in styled and "\x1b[4m2.00\x1b[0m" in styled
    assert styled.endswith("Bold: best.\n")


def test_marks_do_not_change_the_values(run: Path) -> None:
    bare = report(run, "markdown").replace("**", "").replace("<ins>", "").replace("</ins>", "")
    found = [line.split("|")[3].strip() for line in bare.splitlines() if line.startswith("| cam ")]
    expected = read_record(run).summary()
    assert expected is not None and np.isclose(float(found[0]), expected["average_drop"].iloc[0], atol=0.005)
