"""What is made once and kept: the user's cache folder, and how something gets there whole."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from reciprocam_bench.errors import UserError
from reciprocam_bench.variables import expanded


def cache_folder() -> Path:
    """``RCAM_CACHE_DIR``, else ``rcam-bench`` in the user's cache folder; it may not exist yet."""
    if given := os.environ.get("RCAM_CACHE_DIR"):
        return expanded(given)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "rcam-bench"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache; where it is missing, ``make`` fills a new one, which is then renamed.

    So a folder that is there is whole, and of two processes that fill it at once one is simply too late.
    """
    place = cache_folder() / name
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            make(work)
            _renamed(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{place} cannot be written: {error.strerror or error}; set RCAM_CACHE_DIR to a folder that can"
        ) from None
    return place


def _renamed(work: Path, place: Path) -> None:
    try:
        work.rename(place)
    except OSError:
        if not place.is_dir():  # another process was first: its content is the same
            raise
