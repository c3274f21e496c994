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
    *("mean ADCC", "peak MB", "quartiles ms", "images/s", "implementation"),
    *("detail", "published inside", "Deletion curve ↓", "Insertion curve ↑", "Deletion ↓", "Insertion ↑"),
    *("Complexity ↓", "Coherency ↑", "Increase ↑", "trials", "p (Holm)", "95 % interval", "dataset", "Drop ↓"),
)


def to_terminal(table: pd.DataFrame, width: int, marks: pd.DataFrame | None = None, legend: str = "") -> str:
    """The table in lines of at most ``width`` characters: fewer columns first, then cells that wrap.

    ``marks`` as in `to_latex`, and the ``legend`` that explains them, are shown where stdout can show them: not in a
    pipe or file.
    """
    shown = table
    for name in _SPARED:
        if _measure(shown) <= width:
            break
        shown = shown.drop(columns=[c for c in shown.columns if c.partition(" (published)")[0] == name])
    left_out = [c for c in table.columns if c not in shown.columns]
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(_drawn(shown, marks))
    notes = [f"not shown for want of width: {', '.join(left_out)}"] if left_out else []
    notes += [f"{legend}."] if legend and console.color_system else []
    return "\n".join([*(line.rstrip() for line in captured.get().splitlines()), *notes]) + "\n"


def _drawn(table: pd.DataFrame, marks: pd.DataFrame | None = None) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for name in table.columns:
        drawn.add_column(Text(name), justify="right" if is_numeric(table[name]) else "left", overflow="fold")
    for place, row in enumerate(table.itertuples(index=False)):
        of_row = {} if marks is None else marks.iloc[place].to_dict()
        drawn.add_row(*(_cell(str(c), of_row.get(name, "")) for name, c in zip(table.columns, row, strict=True)))
    return drawn


def _cell(text: str, mark: str) -> Text:
    cell = Text(text)  # brackets are titles here, not markup
    if mark:
        cell.stylize(_STYLES[mark], 0, len(text.partition(" ")[0]))
    return cell


def _measure(table: pd.DataFrame) -> int:
    return Console(width=10_000, color_system=None).measure(_drawn(table)).maximum
