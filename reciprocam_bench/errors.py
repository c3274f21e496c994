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
    listed = ", ".join(known)
    return f"; known: {listed}" if len(listed) <= 250 else f"; {len(known)} are known"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that a GPU or the memory is full; torch's own error is told without loading torch."""
    named = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or named or "can't allocate memory" in str(error)


OUT_OF_MEMORY = "out of memory: set a smaller batch_size, memory_mb or number of workers"


def in_words(error: BaseException, most: int = 200) -> str:
    """The kind of an exception and its message in one line, the message cut at ``most`` characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"
