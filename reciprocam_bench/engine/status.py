"""The status of a row: what its map is, then the metrics that failed on it, in one order whichever joined first."""

from collections.abc import Iterable

from reciprocam_bench.errors import in_words

_BETWEEN = "; "


def reason(error: Exception) -> str:
    """An exception in words that fit between the notes of a status."""
    return in_words(error).replace(";", ",")


def with_notes(status: str, notes: Iterable[str]) -> str:
    """The status with further notes, each of them once."""
    kind, *there = status.split(_BETWEEN)
    return _BETWEEN.join([kind, *sorted({*there, *notes})])


def notes_of(status: str) -> list[str]:
    """The notes of a status."""
    return status.split(_BETWEEN)[1:]
