"""Tables to read, from the frames that the CSV files hold, and as Markdown."""

import math
import re
from collections.abc import Iterable

import pandas as pd

from reciprocam_bench.reporting.marks import BEST, SECOND, marked
from reciprocam_bench.runfolder.schema import Definitions, MetricDefinition
from reciprocam_bench.titles import with_arrow

_NAMES = {"claim", "detail", "method", "run", "against", "against run", "over", "image", "reason", "protocol"}
_NUMERIC = re.compile(r"[+-]?\d")
# What ends a cell, begins a tag, or makes a link of a title's brackets; "<0.0001" begins none.
_MARKUP = re.compile(r"\||<(?=[A-Za-z/!?])|(?<=\])\(")
# Pages that show Markdown take <ins> and <b>, not <u>.
_MARKS = {BEST: "**{}**", SECOND: "<ins>{}</ins>"}
_SMALLEST = 1e-4  # percent: summary.csv has no more digits
# A bootstrap of values that are all the same has no width, which is not how sure they are.
NO_INTERVAL = "No interval where all images have the same value, which few images have by chance"


def readable_summary(summary: pd.DataFrame, definitions: Definitions) -> pd.DataFrame:
    """The columns that a reader wants: values in percent, published ones in brackets, intervals for ADCC."""
    table = pd.DataFrame(index=summary.index)
    for key in ("run", "backbone", "dataset", "protocol"):
        if key in summary and summary[key].nunique() > 1:
            table[key] = summary[key]
    table["method"] = summary["method"]
    table["images"] = [_count(n, total) for n, total in zip(summary["images"], _totals(summary), strict=True)]
    for key in ("trials", "constant", "nan", "errors"):
        if key in summary and (key == "trials" or summary[key].any()):
            table[key] = summary[key].map(_count)
    for name, title in metric_headings(summary, definitions).items():
        metric, subset, _ = name.partition("_difficult")
        spec, paper = definitions.metrics[metric], summary[f"{name}_published"]
        short = _short(spec, subset)
        digits = digits_of(summary[name])
        table[title] = [
            _number(v, digits) + (f" ({_number(p, digits)})" if pd.notna(p) else "")
            for v, p in zip(summary[name], paper, strict=True)
        ]
        if spec.aggregation == "mean-of-classes":
            table[f"{short} 95 %"] = _interval(summary, name, digits)
        if spec.terms:
            of_first = "95 % interval" not in table
            table["95 % interval" if of_first else f"{short} 95 % interval"] = _interval(summary, name, digits)
            table[f"mean {short}"] = [_number(v, digits) for v in summary[f"{name}_mean"]]
    return table


def top1_words(summary: pd.DataFrame) -> str:
    """``78.0 %``, or one for each protocol where they differ; empty where no image has a label.

    Of a protocol it is that of the method with most images: where a method failed, its images are fewer.
    """
    known = summary.dropna(subset=["top1"])
    most = known.loc[known.groupby("protocol", sort=False)["images"].idxmax()] if len(known) else known
    words = [f"{value:.1f} %" for value in most["top1"]]
    if len(set(words)) < 2:
        return "".join(words[:1])
    return ", ".join(f"{word} ({name})" for word, name in zip(words, most["protocol"], strict=True))


def metric_headings(summary: pd.DataFrame, definitions: Definitions) -> dict[str, str]:
    """The columns of a summary that a readable one shows, and their headings there."""
    found = {}
    for name in summary.columns:
        metric, subset, _ = name.partition("_difficult")
        if metric not in definitions.metrics or (subset and name != f"{metric}_difficult"):
            continue
        spec = definitions.metrics[metric]
        if subset and spec.aggregation != "mean-of-classes":
            continue  # in summary.csv; here the subset is shown for the pointing game alone
        published = " (published)" if summary[f"{name}_published"].notna().any() else ""
        found[name] = with_arrow(_short(spec, subset), spec.higher_is_better) + published
    return found


def _short(metric: MetricDefinition, subset: str) -> str:
    return metric.title + (", difficult" if subset else "")


def readable_timing(timing: pd.DataFrame) -> pd.DataFrame:
    """Timing rows for a reader: milliseconds, images a second, memory, speed-up with its interval."""
    several = [key for key in ("run", "backbone") if key in timing and timing[key].nunique() > 1]
    table = timing[[*several, "method", "implementation", "scope"]].astype(object).fillna("")
    if timing["batch_size"].nunique() > 1:
        table["batch"] = timing["batch_size"].map(_count)
    table["median ms"] = timing["median_ms"].map(three_digits)
    quartiles = zip(timing["q25_ms"], timing["q75_ms"], strict=True)
    table["quartiles ms"] = [
        "failed" if pd.isna(a) else f"{three_digits(a)} to {three_digits(b)}" for a, b in quartiles
    ]
    table["images/s"] = timing["images_per_s"].map(three_digits)
    table["peak MB"] = timing["peak_memory_mb"].map(three_digits)
    if "forwards" in timing:
        table["forwards"] = _ratios(timing, "forwards")
    if timing["speedup"].notna().any():
        over = timing["relative_to"].where(timing["speedup"].notna()).fillna("")
        several_over = over[over != ""].nunique() > 1
        heading = "speed-up" if several_over else f"speed-up over {over[over != ''].iloc[0]}"
        table[heading] = _ratios(timing, "speedup")
        if several_over:
            table["over"] = over
    return table


def _ratios(timing: pd.DataFrame, name: str) -> list[str]:
    """Ratios with their intervals; none of a single block of rounds."""
    columns = (timing[f"{name}{end}"] for end in ("", "_low", "_high"))
    return [
        ""
        if pd.isna(s)
        else three_digits(s)
        if pd.isna(a)
        else f"{three_digits(s)} ({three_digits(a)} to {three_digits(b)})"
        for s, a, b in zip(*columns, strict=True)
    ]


def readable_comparison(comparison: pd.DataFrame, definitions: Definitions) -> pd.DataFrame:
    """The columns that a reader wants of ``comparison.csv``: a difference, its interval, and what can be told."""
    table = pd.DataFrame(index=comparison.index)
    runs = pd.concat([comparison["run"], comparison["against_run"]]).nunique() > 1
    for key in ("method", "against"):
        table[key] = comparison[key]
        if runs:
            table["run" if key == "method" else "against run"] = comparison["run" if key == "method" else "against_run"]
    specs = [definitions.metrics[name] for name in comparison["metric"]]
    table["metric"] = [with_arrow(spec.title, spec.higher_is_better) for spec in specs]
    table["images"] = comparison["images"].map(_count)
    if comparison["left_out"].any():
        table["left out"] = comparison["left_out"].map(_count)
    table["difference"] = comparison["difference"].map(_signed)
    bounds = zip(comparison["low"], comparison["high"], strict=True)
    table["95 % interval"] = ["" if pd.isna(a) else f"{_signed(a)} to {_signed(b)}" for a, b in bounds]
    table["p (Holm)"] = comparison["p_holm"].map(_probability)
    table["verdict"] = comparison["verdict"]
    return table


def readable_claims(claims: pd.DataFrame) -> pd.DataFrame:
    """The columns that a reader wants of a paper's claims; a claim's words stand in its first row alone."""
    table = pd.DataFrame(index=claims.index)
    table["claim"] = claims["claim"].where(~claims.duplicated(["claim", "protocol"]), "")
    if claims["protocol"].nunique() > 1:
        table["protocol"] = claims["protocol"].map(_word)
    for key in ("backbone", "method", "against"):
        table[key] = claims[key].map(_word)
    table["images"] = claims["images"].map(lambda n: "" if pd.isna(n) else _count(n))
    shown = [(_times if kind == "speedup" else _signed) for kind in claims["kind"]]
    for name in ("published", "ours"):
        table[name] = [show(value) for show, value in zip(shown, claims[name], strict=True)]
    bounds = zip(shown, claims["low"], claims["high"], strict=True)
    table["95 % interval"] = ["" if pd.isna(a) else f"{show(a)} to {show(b)}" for show, a, b in bounds]
    table["published inside"] = claims["published_inside"].map(_word)
    table["p (Holm)"] = claims["p_holm"].map(_probability)
    table["verdict"] = claims["verdict"]
    table["detail"] = claims["detail"].map(_word)
    return table


def to_markdown(table: pd.DataFrame, marks: pd.DataFrame | None = None) -> str:
    """A Markdown table whose columns are also aligned when read as text; ``marks`` as in `to_latex`."""
    shown = marked(table.astype(str).map(in_markdown), marks, _MARKS)
    cells = [[in_markdown(str(name)) for name in table.columns], *map(list, shown.itertuples(index=False))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    left = [not is_numeric(table[name]) for name in table.columns]
    lines = [
        "| " + " | ".join(c.ljust(w) if x else c.rjust(w) for c, w, x in zip(row, widths, left, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if x else ":") for w, x in zip(widths, left, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def in_markdown(text: str) -> str:
    """Text that stays text in Markdown: no cell, tag or link of its own, and one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.splitlines()))


def _totals(summary: pd.DataFrame) -> pd.Series:
    return summary["images_total"] if "images_total" in summary else summary["images"]


def _count(number: float, total: float | None = None) -> str:
    """A number of images; of how many, where a run was limited. Nothing where a run has no such number."""
    if pd.isna(number):
        return ""
    return f"{number:.0f} of {total:.0f}" if total is not None and total > number else f"{number:.0f}"


def _interval(summary: pd.DataFrame, name: str, digits: int) -> list[str]:
    """Intervals; none where images are all alike (`NO_INTERVAL`)."""
    bounds = zip(summary[f"{name}_low"], summary[f"{name}_high"], strict=True)
    return ["" if pd.isna(a) or a == b else f"{_number(a, digits)} to {_number(b, digits)}" for a, b in bounds]


def digits_of(values: Iterable[float]) -> int:
    """Decimals of a column of values in percent: two, or three significant digits where all are below 1."""
    most = max((abs(value) for value in values if pd.notna(value)), default=0.0)
    return 2 if most >= 1 or most < _SMALLEST else 2 - math.floor(math.log10(most))


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    """A difference with its sign, of a small one the first digit; what is none but for rounding has no sign."""
    if value is None or pd.isna(value):
        return ""
    text = f"{value:+.2f}"
    if float(text) == 0:
        return "0.00" if abs(value) < _SMALLEST else f"{value:+.1g}"
    return text


def _word(value: object) -> str:
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _times(value: float | None) -> str:
    return f"{text}×" if (text := three_digits(value)) else ""


def _probability(p: float | None) -> str:
    if p is None or pd.isna(p):
        return ""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def three_digits(value: float | None) -> str:
    """Three significant digits: a timing holds no more."""
    if value is None or pd.isna(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def is_numeric(column: pd.Series) -> bool:
    """Whether cells of a readable column begin with a number; names may too."""
    return column.name not in _NAMES and any(_NUMERIC.match(str(cell)) for cell in column)
