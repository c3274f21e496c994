"""CSV files of a run folder, read strictly: a damaged one is told by file and line."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from reciprocam_bench.errors import UserError
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
    whole = text.rfind("\n") + 1
    if whole < len(text) and not grows:
        raise UserError(f"{path}, line {text.count(chr(10)) + 1}: the file is cut off; {cure}")
    text = text[:whole]
    if not text:
        if grows:
            return pd.DataFrame()
        raise UserError(f"{path}, line 1: the file is empty; {cure}")
    rows = csv.reader(io.StringIO(text, newline=""))
    heading = next(rows)
    other = next((mark for mark in (";", "\t") if len(heading) == 1 and mark in heading[0]), None)
    if other:
        raise UserError(f"{path}, line 1: its cells are separated by {other!r}, not by ','; {cure}")
    count = 0
    try:
        for row in rows:
            if len(row) != len(heading):
                if grows and next(rows, None) is None:
                    break
                raise UserError(
                    f"{path}, line {rows.line_num}: {len(row)} cells, the heading has {len(heading)}; {cure}"
                )
            count += 1
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: {error}; {cure}") from None
    kinds = {name: float for name in values if name in heading}
    try:
        return _parsed(text, count, kinds)
    except ValueError:
        return _parsed(text, count, {})


def _parsed(text: str, count: int, kinds: Mapping[str, type]) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(text, newline=""),
        dtype=defaultdict(lambda: str, kinds),
        keep_default_na=False,
        na_values={name: list(EMPTY) for name in kinds},
        nrows=count,
        index_col=False,
        encoding_errors="surrogateescape",
    )


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
        raise UserError(f"{path}, line 1: column '{foreign[0][:60]}' does not belong there; {cure}")


def numbers(path: Path, table: pd.DataFrame, columns: Sequence[str], cure: str) -> pd.DataFrame:
    """The table with the named columns as numbers, NaN where a cell is empty; ``UserError`` for other text."""
    table = table.copy(deep=False)
    for name in columns:
        text = table[name]
        if is_numeric_dtype(text):
            continue
        blank = text.isin(EMPTY)
        values = pd.to_numeric(text.where(~blank, "nan"), errors="coerce")
        wrong = values.isna() & ~blank
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise UserError(
                f"{path}, line {_line_of(path, row)}: '{name}' is '{text.iloc[row][:60]}', not a number; {cure}"
            )
        table[name] = values
    return table


def one_of(path: Path, table: pd.DataFrame, column: str, is_right: Callable[[str], bool], cure: str) -> None:
    """Refuse a cell of a text column that is none of the words it may be."""
    for word in table[column].unique():
        if not is_right(word):
            row = int((table[column] == word).to_numpy().argmax())
            raise UserError(f"{path}, line {_line_of(path, row)}: '{column}' cannot be '{word[:60]}'; {cure}")


def is_whole(text: str) -> bool:
    """Whether a cell is a whole number, or empty."""
    return not text or text.removeprefix("-").isdecimal()


def to_csv(table: pd.DataFrame, digits: str | None = None) -> str:
    """The table as text, floats in the given format."""
    return table.to_csv(index=False, float_format=digits, lineterminator="\n")


def _line_of(path: Path, row: int) -> int:
    """The line that row ``row`` (from 0) of a file ends on; cells may hold line breaks."""
    rows = csv.reader(io.StringIO(read_text(path, ""), newline=""))
    for _ in range(row + 2):
        next(rows)
    return rows.line_num
