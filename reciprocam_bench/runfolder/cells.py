"""Text in CSV cells that a spreadsheet would take for a formula: marked when written, as it was when read."""

import re
from typing import Any

import pandas as pd

_STARTS = "=+-@\t\r"
_FORMULA = re.compile(f"'*[{re.escape(_STARTS)}]")
_MARKED = re.compile(f"''*[{re.escape(_STARTS)}]")


def marked(text: Any) -> Any:
    """Text that begins with ``=``, ``+``, ``-``, ``@``, tab or return behind an apostrophe; other values as they are.

    Numbers stay numbers. Text that begins with apostrophes before such a sign gets one more, so that `unmarked` gives
    every text back.

    >>> [marked(value) for value in ("=1+1", "-0.5", "cat", "'=x", -3)]
    ["'=1+1", '-0.5', 'cat', "''=x", -3]
    """
    return f"'{text}" if isinstance(text, str) and _FORMULA.match(text) and not _is_number(text) else text


def unmarked(text: str) -> str:
    """The text that `marked` was given."""
    return text[1:] if _MARKED.match(text) else text


def marked_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table with its headings and cells of text as `marked` writes them."""
    starts = (*_STARTS, "'")
    table = table.rename(columns=marked)
    for place, column in enumerate(table.columns):
        cells = table.iloc[:, place]
        if pd.api.types.is_numeric_dtype(cells):
            continue
        if any(isinstance(cell, str) and cell.startswith(starts) for cell in cells.unique()):
            table = table.assign(**{str(column): cells.map(marked)})
    return table


def unmarked_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table that `marked_table` was given, of one that was read as text."""
    table = table.rename(columns=unmarked)
    for name in table.columns:
        cells = table[name]
        if not pd.api.types.is_numeric_dtype(cells) and cells.str.startswith("'").any():
            table = table.assign(**{str(name): cells.map(unmarked)})
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
