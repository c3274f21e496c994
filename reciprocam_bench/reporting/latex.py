"""Readable tables as LaTeX (booktabs)."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from reciprocam_bench.reporting.tables import is_numeric

_ESCAPES = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the beginning of a row it would be an option of the line break before
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def to_latex(table: pd.DataFrame, caption: str, label: str, groups: Sequence[str | pd.Series] = ()) -> str:
    """A floating table with caption and label, numbers to the right, the best value of each metric in bold.

    It is scaled down to the line where it is wider, and needs the packages of its first line.
    Values compete within the rows that agree in ``groups``, columns of the table or beside it; rows whose group is
    missing do not. Arrows in the headings say which way.
    """
    cells = table.astype(str).map(lambda cell: _MINUS.sub("$-$", _escaped(cell)))
    for column in table.columns:
        if "↑" in column or "↓" in column:
            values = table[column].map(_number)
            best = _best(table, values, groups, highest="↑" in column)
            cells[column] = [f"\\textbf{{{c}}}" if b else c for c, b in zip(cells[column], best, strict=True)]
    numeric = [is_numeric(table[c]) for c in table.columns]
    lines = [
        r"% \usepackage{booktabs, graphicx}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{_escaped(caption)}}}",
        f"\\label{{{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"\\begin{{tabular}}{{{''.join('r' if n else 'l' for n in numeric)}}}",
        r"\toprule",
        _row(map(_escaped, table.columns)),
        r"\midrule",
        *(_row(row) for row in cells.itertuples(index=False)),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _best(table: pd.DataFrame, values: pd.Series, groups: Sequence[str | pd.Series], *, highest: bool) -> pd.Series:
    keys = [table[g] if isinstance(g, str) else g for g in groups]
    grouped = values.groupby(keys) if keys else values.groupby([0] * len(values))
    return values.eq(grouped.transform("max" if highest else "min")) & values.notna()


def _number(text: str) -> float:
    """The number that a cell begins with, NaN where it begins with none."""
    found = _NUMBER.match(str(text))
    return float(found[0]) if found else float("nan")


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in " ".join(str(text).split()))


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
