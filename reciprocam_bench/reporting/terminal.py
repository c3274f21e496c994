"""Readable tables in the width of a terminal."""

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reciprocam_bench.reporting.marks import BEST, SECOND
from reciprocam_bench.reporting.tables import is_numeric

_STYLES = {BEST: "bold", SECOND: "underline"}

# What can be spared, the first first; all of it stays in the CSV files and the other formats.
_SPARED = (
    *("mean ADCC", "peak MB", "quartiles ms", "images/s", "forwards", "implementation"),
    *("detail", "published inside", "Deletion curve ↓", "Insertion curve ↑", "Deletion ↓", "Insertion ↑"),
    *("Coherency ↑", "Increase ↑", "trials", "p (Holm)", "Complexity ↓", "Drop ↓", "dataset", "95 % interval"),
)


# What tells a row from the others: the heading of its column where a table is turned.
_KEYS = ("run", "backbone", "dataset", "protocol", "method", "scope", "batch")


def to_terminal(table: pd.DataFrame, width: int, marks: pd.DataFrame | None = None, legend: str = "") -> str:
    """The table in lines of at most ``width`` characters: fewer columns first, then cells that wrap.

    One with more columns than rows that does not fit without what can be spared is turned instead: a line a column, in
    as many parts as its rows need. ``marks`` as in `to_latex`, and the ``legend`` that explains them, are shown where
    stdout can show them: not in a pipe or file.
    """
    marks = pd.DataFrame(index=table.index) if marks is None else marks
    marks = marks.reindex(columns=table.columns, fill_value="")
    shown = table
    for name in _SPARED:
        if _width(_drawn(shown, marks)) <= width:
            break
        shown = shown.drop(columns=[c for c in shown.columns if c.partition(" (published)")[0] == name])
    parts, left_out = [_drawn(shown, marks)], [c for c in table.columns if c not in shown.columns]
    if len(table.columns) > len(table) and _width(parts[0]) > width:
        parts, left_out = _turned(table, marks, width), []
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        for place, part in enumerate(parts):
            if place:
                console.print()
            console.print(part)
    notes = [f"not shown for want of width: {', '.join(left_out)}"] if left_out else []
    notes += [f"{legend}."] if legend and console.color_system else []
    return "\n".join([*(line.rstrip() for line in captured.get().splitlines()), *notes]) + "\n"


def _drawn(table: pd.DataFrame, marks: pd.DataFrame) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for name in table.columns:
        drawn.add_column(Text(name), justify="right" if is_numeric(table[name]) else "left", overflow="fold")
    for cells, of_row in zip(table.itertuples(index=False), marks[table.columns].itertuples(index=False), strict=True):
        drawn.add_row(*map(_cell, map(str, cells), of_row))
    return drawn


def _turned(table: pd.DataFrame, marks: pd.DataFrame, width: int) -> list[Table]:
    """A line for each column; as many of the rows beside one another as fit, the others in further tables below."""
    keys = [key for key in _KEYS if key in table]
    headings = ["\n".join(row) for row in table[keys].astype(str).itertuples(index=False)]
    lines = [(name, list(table[name].astype(str)), list(marks[name])) for name in table.columns.drop(keys)]

    def part(rows: slice) -> Table:
        drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
        drawn.add_column("", overflow="fold")
        for heading in headings[rows]:
            drawn.add_column(Text(heading), justify="right", overflow="fold")
        for name, cells, of_line in lines:
            drawn.add_row(Text(name), *map(_cell, cells[rows], of_line[rows]))
        return drawn

    found, first = [], 0
    while first < len(table):
        fitting = [last for last in range(first + 1, len(table) + 1) if _width(part(slice(first, last))) <= width]
        last = max(fitting, default=first + 1)
        found.append(part(slice(first, last)))
        first = last
    return found


def _cell(text: str, mark: str) -> Text:
    cell = Text(text)  # brackets are titles here, not markup
    if mark:
        cell.stylize(_STYLES[mark], 0, len(text.partition(" ")[0]))
    return cell


def _width(table: Table) -> int:
    return Console(width=10_000, color_system=None).measure(table).maximum
