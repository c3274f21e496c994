"""CSV files of a run folder, read strictly: a damaged one is told by file and line."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.cells import marked_table, unmarked_table
from reciprocam_bench.runfolder.disk import read_text
from reciprocam_bench.runfolder.schema import PENDING

# Cells that stand for a value there is none of.
EMPTY = ("", "nan", PENDING)


def read_table(path: Path, cure: str, *, grows: bool = False, values: Sequence[str] = ()) -> pd.DataFrame:
    """All rows as text. ``FileNotFoundError`` where there is no file, ``UserError`` where a line is no row of it.

    A file that ``grows`` row by row may end in a torn row, which is left out; elsewhere that is damage.
    The columns named in ``values`` are read as numbers if all that stands in them are numbers.
    """
    text = read_text(path, cure)
    if "\r" in text.partition("\n")[0]:
        raise UserError(f"{path}, line 1: ends in a carriage return, as a spreadsheet writes it; {cure}")
    whole = text.rfind("\n") + 1
    if whole < len(text) and not grows:
        raise UserError(f"{path}, line {text.count(chr(10)) + 1}: the file is cut off; {cure}")
    text = text[:whole]
    if "\0" in text:
        raise UserError(f"{path}, line {text.partition(chr(0))[0].count(chr(10)) + 1}: holds NUL bytes; {cure}")
    if not text:
        if grows:
            return pd.DataFrame()
        raise UserError(f"{path}, line 1: the file is empty; {cure}")
    heading, text = _whole_rows(path, text, cure, grows)
    kinds = {name: float for name in values if name in heading}
    try:
        return _parsed(text, kinds)
    except ValueError:
        return _parsed(text, {})


def _whole_rows(path: Path, text: str, cure: str, grows: bool) -> tuple[list[str], str]:
    """The heading, and the text without a torn last row."""
    lines = list(io.StringIO(text, newline=""))
    rows, read = csv.reader(lines, strict=True), 0
    heading: list[str] = []
    try:
        for row in rows:
            heading = heading or _heading(row)
            if not row or len(row) != len(heading):
                raise csv.Error(f"{len(row)} cells, the heading has {len(heading)}")
            read = rows.line_num
    except csv.Error as error:
        # A kill tears the last line and no other.
        if not grows or not read or len(lines) > read + 1:
            raise UserError(f"{path}, line {read + 1}: {error}; {cure}") from None
    if len(set(heading)) < len(heading):
        raise UserError(f"{path}, line 1: a column is there twice; {cure}")
    return heading, "".join(lines[:read])


def _heading(row: list[str]) -> list[str]:
    other = next((mark for mark in (";", "\t") if len(row) == 1 and mark in row[0]), None)
    if other:
        raise csv.Error(f"its cells are separated by {other!r}, not by ','")
    return row


def _parsed(text: str, kinds: Mapping[str, type]) -> pd.DataFrame:
    table = pd.read_csv(
        io.StringIO(text, newline=""),
        dtype=defaultdict(lambda: str, kinds),
        keep_default_na=False,
        na_values={name: list(EMPTY) for name in kinds},
        skip_blank_lines=False,
        index_col=False,
        encoding_errors="surrogateescape",
    )
    return unmarked_table(table)


def check_columns(
    path: Path, table: pd.DataFrame, needed: Iterable[str], is_known: Callable[[str], bool], cure: str
) -> None:
    """Refuse a table that lacks a column, or has one that is not of its kind."""
    columns = list(table.columns)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UserError(f"{path}, line 1: column '{missing[0]}' is missing from the heading; {cure}")
    foreign = [str(name) for name in columns if not is_known(str(name))]
    if foreign:
        raise UserError(f"{path}, line 1: column {foreign[0][:60]!r} does not belong there; {cure}")


def numbers(path: Path, table: pd.DataFrame, columns: Sequence[str], cure: str) -> pd.DataFrame:
    """The table with the named columns as numbers, NaN where a cell is empty; ``UserError`` for other text."""
    found: dict[str, pd.Series] = {}
    for name in columns:
        text = table[name]
        if is_numeric_dtype(text):  # read as numbers, which takes a fraction of the time
            values, wrong = text, np.isinf(text.to_numpy(dtype=float))
        else:
            blank = text.isin(EMPTY)
            values = pd.to_numeric(text.where(~blank, "nan"), errors="coerce")
            wrong = ((values.isna() & ~blank) | np.isinf(values)).to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"{path}, line {line_of(path, row)}: '{name}' is {str(text.iloc[row])[:60]!r}, not a number; {cure}"
            )
        found[name] = values
    # Put together at once: of curves and thresholds there are hundreds of columns.
    return pd.DataFrame({name: found.get(name, table[name]) for name in table.columns}, index=table.index)


def one_of(path: Path, table: pd.DataFrame, column: str, is_right: Callable[[str], object], cure: str) -> None:
    """Refuse a cell of a text column that is none of the words it may be."""
    for word in table[column].unique():
        if not is_right(word):
            row = int((table[column] == word).to_numpy().argmax())
            raise UserError(f"{path}, line {line_of(path, row)}: '{column}' cannot be {word[:60]!r}; {cure}")


def is_whole(text: str) -> bool:
    """Whether a cell is a whole number, or empty."""
    return not text or text.removeprefix("-").isdecimal()


def to_csv(table: pd.DataFrame, digits: str | None = None) -> str:
    """The table as text, floats in the given format, text as `marked` writes it."""
    return marked_table(table).to_csv(index=False, float_format=digits, lineterminator="\n")


def line_of(path: Path, row: int) -> int:
    """The line that row ``row`` (from 0) of a file ends on; cells may hold line breaks."""
    rows = csv.reader(io.StringIO(read_text(path, ""), newline=""))
    for _ in range(row + 2):
        next(rows)
    return rows.line_num
