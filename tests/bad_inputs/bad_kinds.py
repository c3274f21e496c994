"""Kinds of bad input: how each is made and tried, and how what is told of it begins."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reciprocam_bench.errors import UserError


@dataclass(frozen=True)
class Kind:
    """One kind of bad input, a row of docs/bad_input.md.

    Attributes:
        what: in the reader's words.
        told: a pattern of the beginning of what is told; libraries may word the rest otherwise.
        tell: makes the input in an empty folder, tries it, and returns what is told.
    """

    what: str
    told: str
    tell: Callable[[Path], str]


def said(kind: Kind, folder: Path) -> str:
    """What is told of a kind, without the folder's own name."""
    return " ".join(kind.tell(folder).replace(f"{folder}/", "").replace(str(folder), "FOLDER").split())


def refusal(call: Callable[[], object]) -> str:
    """The line that a call is refused with."""
    try:
        taken = call()
    except UserError as error:
        return str(error)
    raise AssertionError(f"it was taken: {taken!r}")
