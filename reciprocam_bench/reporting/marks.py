"""Cells of a table that are marked as the best and the second."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

BEST, SECOND = "best", "second"
LARGEST = "Bold: the best of each group by its value alone, whatever its interval"

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def largest_marks(table: pd.DataFrame, groups: Iterable[str]) -> pd.DataFrame:
    """``best`` for the best value of each group in each column whose heading has an arrow; ``groups`` are the rows'."""
    columns = [column for column in map(str, table.columns) if "↑" in column or "↓" in column]
    marks = pd.DataFrame("", index=table.index, columns=columns)
    for column in columns:
        values = table[column].map(_number)
        best = values.groupby(list(groups)).transform("max" if "↑" in column else "min")
        marks.loc[values.eq(best), column] = BEST
    return marks


def marked(cells: pd.DataFrame, marks: pd.DataFrame | None, forms: Mapping[str, str]) -> pd.DataFrame:
    """Cells of text; what stands before the first space of a marked one is put into its form, as in ``**{}**``."""
    cells = cells.copy()
    for column in cells.columns.intersection([] if marks is None else marks.columns):
        assert marks is not None
        parts = [(mark, *cell.partition(" ")) for mark, cell in zip(marks[column], cells[column], strict=True)]
        cells[column] = [forms.get(mark, "{}").format(value) + gap + rest for mark, value, gap, rest in parts]
    return cells


def _number(text: str) -> float:
    """The number that a cell begins with, NaN where it begins with none."""
    found = _NUMBER.match(str(text))
    return float(found[0]) if found else float("nan")
