"""Readable tables in the width of a terminal."""

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reciprocam_bench.reporting.tables import is_numeric

# What can be spared, the first first; all of it stays in the CSV files and the other formats.
_SPARED = (
    *("mean ADCC", "peak MB", "quartiles ms", "images/s", "implementation"),
    *("detail", "published inside", "Deletion ↓", "Insertion ↑"),
    *("Complexity ↓", "Coherency ↑", "Increase ↑", "trials", "p (Holm)", "95 % interval", "dataset", "Drop ↓"),
)


def to_terminal(table: pd.DataFrame, width: int) -> str:
    """The table in lines of at most ``width`` characters: fewer columns first, then cells that wrap."""
    shown = table
    for name in _SPARED:
        if _measure(shown) <= width:
            break
        shown = shown.drop(columns=[c for c in shown.columns if c.partition(" (published)")[0] == name])
    left_out = [c for c in table.columns if c not in shown.columns]
    console = Console(width=width, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(_drawn(shown))
    note = f"not shown for want of width: {', '.join(left_out)}\n" if left_out else ""
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n" + note


def _drawn(table: pd.DataFrame) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in table.columns:
        drawn.add_column(Text(name), justify="right" if is_numeric(table[name]) else "left", overflow="fold")
    for row in table.itertuples(index=False):
        drawn.add_row(*(Text(str(cell)) for cell in row))  # brackets are titles here, not markup
    return drawn


def _measure(table: pd.DataFrame) -> int:
    return Console(width=10_000, color_system=None).measure(_drawn(table)).maximum
