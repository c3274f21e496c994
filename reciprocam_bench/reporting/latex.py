"""Readable tables as LaTeX (booktabs)."""

import re
from collections.abc import Iterable

import pandas as pd

from reciprocam_bench.reporting.marks import BEST, SECOND, marked
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
_MARKS = {BEST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}"}
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def to_latex(table: pd.DataFrame, caption: str, label: str, marks: pd.DataFrame | None = None) -> str:
    """A floating table with caption and label, numbers to the right, the best values in bold, the second underlined.

    It is scaled down to the line where it is wider, and needs the packages of its first line. ``marks`` has the table's
    rows and those of its columns whose values compete.
    """
    cells = marked(table.astype(str).map(lambda cell: _MINUS.sub("$-$", _escaped(cell))), marks, _MARKS)
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


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in " ".join(str(text).split()))


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
