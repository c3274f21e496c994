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
    "*": "{*}",  # and this the line break's own star
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}
_LETTERS = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_ESCAPES |= {letter: f"$\\{name}$" for letter, name in zip(_LETTERS, _NAMES.split(), strict=True)}
# What pdflatex sets as it stands, in the encoding that it begins with.
_PLAIN = re.compile("(?![«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ‗‚‛„‟‣․‥])[\n\x20-\x7e\u00a0-\u017f\u2010-\u2026]")
_ROWS = 40  # on a page
_MARKS = {BEST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}"}
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def to_latex(table: pd.DataFrame, caption: str, label: str, marks: pd.DataFrame | None = None) -> str:
    """A floating table with caption and label, numbers to the right, the best values in bold, the second underlined.

    It is scaled down to the line where it is wider, and needs the packages of its first line; a long one goes on in
    further tables. ``marks`` has the table's rows and those of its columns whose values compete.
    """
    cells = marked(table.astype(str).map(lambda cell: _MINUS.sub("$-$", _escaped(cell))), marks, _MARKS)
    kinds = "".join("r" if is_numeric(table[c]) else "l" for c in table.columns)
    head, rows = _row(map(_escaped, table.columns)), [_row(row) for row in cells.itertuples(index=False)]
    floats = []
    for first in range(0, max(1, len(rows)), _ROWS):
        named = [f"\\caption{{{_escaped(caption)}}}", f"\\label{{{label}}}"]
        if first:  # a table is not broken over pages: it goes on in another one of the same number
            named = [r"\addtocounter{table}{-1}", f"\\caption{{{_escaped(caption)} (continued)}}"]
            floats.append(r"\clearpage")
        floats += _float(named, kinds, head, rows[first : first + _ROWS])
    others = dict.fromkeys(c for c in "\n".join(floats) if not _PLAIN.match(c))
    hint = [f"% compile with xelatex or lualatex: pdflatex may not set {' '.join(others)}"] if others else []
    return "\n".join([r"% \usepackage{booktabs, graphicx}", *hint, *floats]) + "\n"


def _float(named: list[str], kinds: str, head: str, rows: list[str]) -> list[str]:
    return [
        r"\begin{table}",
        r"\centering",
        *named,
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"\\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in " ".join(str(text).split()))


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
