"""Read and write whole files; what is wrong with one becomes a line that names it."""

import gzip
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reciprocam_bench.errors import UserError

_KEPT = "what is done is kept, and the same command goes on from there"


def write_whole(path: Path, text: str, cure: str = _KEPT) -> None:
    """Replace a file by ``text``, whole or not at all, also when the machine stops: write, fsync, rename.

    Where it cannot be written a ``UserError`` says why, and ``cure``: what to do.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        _write(partial, text, "w")
        partial.replace(path)
    except OSError as error:
        raise _not_written(path, error, cure) from None
    _sync_folder(path.parent)


def write_into(folder: Path, name: str, text: str, cure: str = "give --output another folder") -> None:
    """As `write_whole`, into a folder that is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, error, cure) from None
    write_whole(folder / name, text, cure)


def append(path: Path, text: str) -> None:
    """Add ``text`` to a file that is there; it is on disk when this returns."""
    try:
        _write(path, text, "a", opener=lambda name, flags: os.open(name, flags & ~os.O_CREAT))
    except FileNotFoundError:  # made anew, it would hold rows without a heading
        raise UserError(f"{path} went away while the run went on; put it back or not, and run again") from None
    except OSError as error:
        raise _not_written(path, error, _KEPT) from None


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror}; {_KEPT}") from None


def read_text(path: Path, cure: str) -> str:
    """The text of a file of ours. Raises ``FileNotFoundError`` if it is absent, ``UserError`` if it is no such text.

    ``cure`` says what to do about a damaged one. One whose name ends in ``.gz`` is unpacked.
    """
    check_kind(path, cure)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked: {error}; {cure}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; {cure}") from None
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}, line 1: begins with a byte-order mark, as a spreadsheet writes it; {cure}")
    return content.decode("utf-8", errors="surrogateescape")


def read_facts(path: Path) -> dict[str, Any]:
    """What a JSON file says that nothing depends on; one that is damaged, or not there, says nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def check_kind(path: Path, cure: str) -> None:
    """Refuse what is there in the place of a file and is none: a folder; a pipe, which would be waited for."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, where a file should be; {cure}")
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file; {cure}")


def check_place(path: Path) -> None:
    """Refuse a name that no file system takes, or that may not be looked at."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        name = str(path) if len(str(path)) < 100 else f"{str(path)[:60]}…"
        raise UserError(f"{name!r} cannot be a folder: {reason}; give another name") from None


def _write(path: Path, text: str, mode: str, opener: Callable[[str, int], int] | None = None) -> None:
    with open(path, mode, encoding="utf-8", errors="surrogateescape", newline="", opener=opener) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _not_written(path: Path, error: OSError, cure: str) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror}; {cure}")


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; not every system lets a folder be opened.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
