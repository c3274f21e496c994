"""A table with its title and notes as text, in each of the formats that people read."""

import re
from collections.abc import Sequence

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.latex import to_latex
from reciprocam_bench.reporting.tables import in_markdown, to_markdown
from reciprocam_bench.reporting.terminal import to_terminal

FORMATS = ("markdown", "latex", "csv", "terminal")


def check_format(form: str) -> None:
    """Refuse a word that is none of the formats."""
    check_words("format", [form], FORMATS)


def check_words(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a word of an option that is none of those it may be."""
    wrong = next((word for word in given if word not in known), None)
    if wrong is not None:
        raise UserError(f"--{option} {wrong}: choose one of {', '.join(known)}")


def as_text(
    table: pd.DataFrame,
    title: str,
    notes: Sequence[str],
    form: str,
    width: int,
    label: str,
    marks: pd.DataFrame | None = None,
    legend: str = "",
) -> str:
    """The table under its title and the notes that must stand with it, as ``markdown``, ``terminal`` or ``latex``.

    Args:
        table: as it is to be read.
        width: of a terminal.
        label: of a LaTeX table, from any words.
        marks: which cells are ``best`` or ``second``: its rows, and those of its columns whose values compete.
        legend: what the marks mean, which stands below the table, or in its caption.
    """
    if form == "latex":
        caption = ". ".join([title, *(f"Note: {note}" for note in notes), *([legend] if legend else [])])
        return to_latex(table, caption, f"tab:{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}", marks)
    if form == "markdown":
        heading = heading_of(in_markdown(title), [in_markdown(note) for note in notes])
        below = f"\n{legend}.\n" if legend else ""
        return f"{heading}\n\n{to_markdown(table, marks)}{below}"
    return f"{heading_of(title, notes)}\n\n{to_terminal(table, width, marks, legend)}"


def heading_of(title: str, notes: Sequence[str]) -> str:
    """A title, and below it the notes that must stand with what it is of."""
    return "\n\n".join([title, *(f"Note: {note}." for note in notes)])
