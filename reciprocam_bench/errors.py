"""The one error for a mistake of the user's: what is wrong, where, and what to do, in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Wrong input. The command line prints the message alone and exits with code 2."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the known words where none is close, or nothing if there are none."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    if not known:
        return ""
    if len(known) > 30:
        return f"; {len(known)} are known"
    return f"; known: {', '.join(known)}"


def in_words(error: BaseException, most: int = 200) -> str:
    """The kind of an exception and its message in one line, the message cut at ``most`` characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"
