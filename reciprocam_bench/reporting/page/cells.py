"""Tables of a page: cells that say what they sort by."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reciprocam_bench.reporting.best import told_marks
from reciprocam_bench.reporting.page.collect import Run
from reciprocam_bench.reporting.tables import digits_of, is_numeric
from reciprocam_bench.titles import with_arrow

_MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_MOST_IN_ORDER = 8
_COUNTS = ("trials", "constant", "nan", "errors")


@dataclass(frozen=True)
class Cell:
    """A text, the number it sorts by (None: by its text), smaller lines below it, and whether it is best or second."""

    text: str
    value: float | None = None
    details: tuple[str, ...] = ()
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """Headings, whether the cells below each are numbers, and rows of cells."""

    caption: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]


def summary_table(runs: Sequence[Run]) -> Table:
    """Every metric of every method with its interval and published value, as ``summary.csv`` holds them."""
    with_rows = [run for run in runs if len(run.summary)]
    metrics = {name: metric for run in with_rows for name, metric in run.metrics.items()}
    if len(metrics) > _MOST_IN_ORDER:  # the main metrics would be out of sight
        first = [run.main_metric for run in with_rows if run.main_metric]
        metrics = {name: metrics[name] for name in dict.fromkeys([*first, *metrics])}
    keys = _telling(with_rows)
    counts = [c for c in _COUNTS if any(c in run.summary and run.summary[c].any() for run in with_rows)]
    titles = [with_arrow(m.title, m.higher_is_better) for m in metrics.values()]
    digits = {name: digits_of(v for run in with_rows for v in run.summary.get(name, ())) for name in metrics}
    rows = []
    for run in with_rows:
        marks = told_marks(run.record, run.rows, run.summary)
        for row, of_row in zip(run.summary.to_dict("records"), marks.to_dict("records"), strict=True):
            cells = [Cell(str(row["method"]))]
            cells += [Cell(run.name if key == "run" else str(row[key])) for key in keys]
            cells.append(_count(row["images"], row.get("images_total")))
            cells += [_count(row.get(key)) for key in counts]
            rows.append(cells + [_value(row, name, str(of_row.get(name, "")), digits[name]) for name in metrics])
    columns = ["method", *keys, "images", *counts, *titles]
    numeric = [False] * (len(keys) + 1) + [True] * (len(columns) - len(keys) - 1)
    return Table("Quality in percent, each value with its 95 % interval", columns, numeric, rows)


def from_readable(table: pd.DataFrame, caption: str) -> Table:
    """A readable table; cells that begin with a number sort by it."""
    numeric = [is_numeric(table[name]) for name in table.columns]
    rows = [
        [Cell(str(v), _number(str(v)) if n else None) for v, n in zip(row, numeric, strict=True)]
        for row in table.itertuples(index=False)
    ]
    return Table(caption, [str(c) for c in table.columns], numeric, rows)


def _telling(runs: Sequence[Run]) -> list[str]:
    """What must stand in a row to tell it from those of other runs and protocols."""
    together = pd.concat([run.summary.assign(run=run.name) for run in runs]) if runs else pd.DataFrame()
    keys = [key for key in ("backbone", "dataset", "protocol") if len(runs) and together[key].nunique() > 1]
    if len(runs) > 1 and together[["backbone", "dataset"]].drop_duplicates().shape[0] < len(runs):
        keys.insert(0, "run")
    return keys


def _value(row: dict, name: str, mark: str, digits: int) -> Cell:
    value = row.get(name)
    if value is None or pd.isna(value):
        return Cell("", math.nan)
    low, high, published = (row.get(f"{name}{end}") for end in ("_low", "_high", "_published"))
    wide = low is not None and high is not None and not pd.isna(low) and low != high
    details = [f"{low:.{digits}f} to {high:.{digits}f}"] if wide else []
    if published is not None and not pd.isna(published):
        details.append(f"published {published:.{digits}f}")
    return Cell(f"{value:.{digits}f}", float(value), tuple(details), mark)


def _count(number: float | None, total: float | None = None) -> Cell:
    if number is None or pd.isna(number):
        return Cell("", math.nan)
    of = f" of {total:.0f}" if total is not None and not pd.isna(total) and total > number else ""
    return Cell(f"{number:.0f}{of}", float(number))


def _number(text: str) -> float:
    """The number that a cell begins with."""
    found = _NUMBER.match(text.replace(_MINUS, "-").lstrip("<"))
    return float(found[0]) if found else math.nan
