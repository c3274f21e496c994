"""One process at a time makes a run folder."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import write_whole

# The lock is the system's, so it goes with its process, however that ends; who holds it is written beside it.
_LOCK, _HOLDER = ".lock", ".lock.json"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold an existing folder's lock; ``UserError`` that names host and process where another one does."""
    lock, holder = FileLock(folder / _LOCK), folder / _HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{folder} is in use by {_who(holder)}; wait for it to end, or give --output another folder"
        ) from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; give --output another folder") from None
    try:
        about = {"host": socket.gethostname(), "pid": os.getpid(), "since": _now()}
        write_whole(holder, json.dumps(about) + "\n")
        yield
    finally:
        # In this order, so that nobody sees a lock without its holder.
        with suppress(OSError):  # of a folder that became read-only; the lock itself is the system's
            (folder / _LOCK).unlink(missing_ok=True)
            holder.unlink(missing_ok=True)
        lock.release()


def is_of_the_lock(name: str) -> bool:
    """Whether a file of a folder is the lock's, or one that was being written: no content of anybody's."""
    return name in (_LOCK, _HOLDER) or (name.startswith(".") and name.endswith(".part"))


def _who(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
