"""Tables for readers."""

import pandas as pd
import pytest

from reciprocam_bench.reporting import tables
from reciprocam_bench.reporting.latex import to_latex
from reciprocam_bench.reporting.tables import digits_of, readable_summary, readable_timing, to_markdown, top1_words
from reciprocam_bench.reporting.terminal import to_terminal
from reciprocam_bench.runfolder.schema import Definitions, MetricDefinition

SUMMARY = pd.DataFrame(
    {
        "backbone": ["b"] * 2,
        "dataset": ["d"] * 2,
        "protocol": ["p"] * 2,
        "method": ["cam", "gradcam"],
        "images": [10, 9],
        "constant": [0, 0],
        "nan": [0, 0],
        "errors": [0, 1],
        "average_drop": [12.345, 6.0],
        "average_drop_low": [10.0, 5.0],
        "average_drop_high": [14.0, 7.0],
        "average_drop_published": [None, 42.9],
        "adcc": [80.0, 81.0],
        "adcc_low": [79.0, None],
        "adcc_high": [82.0, None],
        "adcc_mean": [78.0, 79.0],
        "adcc_published": [None, None],
    }
)


TERMS = ["coherency", "1 - complexity", "1 - average_drop"]
DEFINITIONS = Definitions(
    metrics={
        "average_drop": MetricDefinition(title="Drop", higher_is_better=False, columns=["average_drop"]),
        "coherency": MetricDefinition(title="Coherency", higher_is_better=True, columns=["coherency"]),
        "complexity": MetricDefinition(title="Complexity", higher_is_better=False, columns=["complexity"]),
        "adcc": MetricDefinition(
            title="ADCC", higher_is_better=True, aggregation="harmonic-mean", terms=TERMS, columns=["adcc"]
        ),
    }
)


def test_readable_summary_shows_direction_published_and_only_counts_that_matter():
    table = readable_summary(SUMMARY, DEFINITIONS)
    assert list(table.columns) == [
        "method",
        "images",
        "errors",
        "Drop ↓ (published)",
        "ADCC ↑",
        "95 % interval",
        "mean ADCC",
    ]
    assert list(table["Drop ↓ (published)"]) == ["12.35", "6.00 (42.90)"]
    assert list(table["95 % interval"]) == ["79.00 to 82.00", ""]


def test_small_values_have_three_digits_and_images_that_are_alike_no_interval():
    small = SUMMARY.assign(average_drop=[0.1029, 0.1043], average_drop_published=None, adcc_low=[80.0, None])
    table = readable_summary(small.assign(adcc_high=[80.0, None]), DEFINITIONS)
    assert table["Drop ↓"].tolist() == ["0.103", "0.104"] and table["95 % interval"].tolist() == ["", ""]
    assert [digits_of([v]) for v in (0, 1, 99.9, 0.5, 0.04, float("nan"))] == [2, 2, 2, 3, 4, 2]


def test_counts_that_a_run_lacks_are_empty():
    assert readable_summary(SUMMARY.assign(trials=[12, None]), DEFINITIONS)["trials"].tolist() == ["12", ""]


def test_top1_is_told_for_each_protocol_where_it_differs():
    table = SUMMARY.assign(top1=[77.0, 78.0], images=[9, 10])
    assert top1_words(table) == "78.0 %"  # of the method with most images
    assert top1_words(table.assign(protocol=["p", "q"])) == "77.0 % (p), 78.0 % (q)"
    assert top1_words(table.assign(top1=None)) == ""


def test_protocols_are_named_where_there_are_several():
    both = pd.concat([SUMMARY, SUMMARY.assign(protocol="q")], ignore_index=True)
    assert list(readable_summary(both, DEFINITIONS)["protocol"]) == ["p", "p", "q", "q"]


def test_markdown_is_aligned_and_numbers_are_right_aligned():
    text = to_markdown(pd.DataFrame({"name": ["a", "bcd"], "value": ["1.00", "10.00"]}))
    assert text.splitlines() == ["| name | value |", "|------|------:|", "| a    |  1.00 |", "| bcd  | 10.00 |"]


def test_images_of_a_part_of_the_data_set_say_of_how_many():
    part = SUMMARY.assign(images_total=[10, 50])
    assert list(readable_summary(part, DEFINITIONS)["images"]) == ["10", "9 of 50"]


def test_latex_escapes_draws_arrows_and_has_caption_and_label():
    text = to_latex(pd.DataFrame({"a_b": ["x%"], "Drop ↓": ["1"]}), "Of 3 % & more", "tab:x")
    assert r"a\_b" in text and r"x\%" in text and r"$\downarrow$" in text and r"\toprule" in text
    assert r"\caption{Of 3 \% \& more}" in text and r"\label{tab:x}" in text


def test_latex_sets_marked_numbers_in_bold_or_underlined_and_numbers_to_the_right():
    table = pd.DataFrame({"method": ["a", "b"], "Drop ↓": ["-9.00 (1.00)", "10.00"], "ADCC ↑": ["80.00", "71.00"]})
    marks = pd.DataFrame({"Drop ↓": ["best", "second"], "ADCC ↑": ["", ""]})
    lines = to_latex(table, "c", "l", marks).splitlines()
    assert r"\begin{tabular}{lrr}" in lines
    assert lines[-5:-3] == [
        r"a & \textbf{$-$9.00} (1.00) & 80.00 \\",
        r"b & \underline{10.00} & 71.00 \\",
    ]


def test_a_terminal_gets_fewer_columns_first_and_titles_whole():
    table = readable_summary(SUMMARY, DEFINITIONS).assign(method=["reciprocam[mask=gaussian]", "gradcam"])
    wide, narrow = to_terminal(table, 200), to_terminal(table, 60)
    assert "mean ADCC" in wide and "not shown" not in wide
    assert max(map(len, narrow.splitlines()[:-1])) <= 60
    assert "reciprocam[mask=gaussian]" in narrow
    assert narrow.splitlines()[-1].startswith("not shown for want of width: ")


def test_a_terminal_gets_a_line_a_metric_where_there_are_more_than_fit():
    names = [f"Metric {i} ↑" for i in range(30)]
    values = pd.DataFrame({name: [f"{i}.{m}" for m in range(4)] for i, name in enumerate(names)})
    table = pd.concat(
        [pd.DataFrame({"protocol": ["p", "q"] * 2, "method": ["cam", "cam", "b[c=1]", "b[c=1]"]}), values], axis=1
    )
    marks = pd.DataFrame({names[3]: ["", "best", "", ""]})
    assert to_terminal(table, 1000, marks).splitlines()[0].startswith("protocol   method   Metric 0 ↑")
    for width, parts in ((60, 1), (30, 2), (20, 4)):
        text = to_terminal(table, width, marks)
        assert max(map(len, text.splitlines())) <= width and "not shown" not in text
        assert text.count("─\n") == parts
        values = [word for word in text.split() if "." in word]
        assert sorted(values) == sorted(f"{i}.{m}" for i in range(30) for m in range(4))
    headings = to_terminal(table, 60, marks).splitlines()[:2]
    assert [line.split() for line in headings] == [["p", "q", "p", "q"], ["cam", "cam", "b[c=1]", "b[c=1]"]]


def test_readable_timing_keeps_three_digits():
    timing = pd.DataFrame(
        {
            "backbone": ["b"],
            "method": ["cam"],
            "implementation": [None],
            "scope": ["end-to-end"],
            "batch_size": [1],
            "median_ms": [12.3456],
            "q25_ms": [12.0],
            "q75_ms": [1234.5],
            "images_per_s": [81.0],
            "peak_memory_mb": [0.01234],
            "relative_to": ["scorecam"],
            "speedup": [147.9],
            "speedup_low": [140.2],
            "speedup_high": [150.7],
        }
    )
    row = readable_timing(timing).iloc[0]
    assert (row["median ms"], row["quartiles ms"], row["peak MB"]) == ("12.3", "12 to 1234", "0.0123")
    assert row["speed-up over scorecam"] == "148 (140 to 151)"
    two = readable_timing(pd.concat([timing, timing.assign(relative_to="torchcam:ScoreCAM")]))
    assert two["speed-up"].tolist() == ["148 (140 to 151)"] * 2 and two["over"].tolist() == [
        "scorecam",
        "torchcam:ScoreCAM",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "+1.00"),
        (-0.5, "-0.50"),
        (0.004, "+0.004"),
        (-0.0021, "-0.002"),
        (0.00004, "0.00"),
        (0.0, "0.00"),
        (None, ""),
    ],
)
def test_a_small_difference_keeps_its_sign_and_first_digit(value: float | None, text: str) -> None:
    assert tables._signed(value) == text
