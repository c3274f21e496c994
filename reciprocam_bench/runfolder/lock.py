"""One process at a time makes a run folder; those of one launch take turns."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.disk import read_facts, write_whole

# The lock is the system's, so it goes with its process, however that ends; who holds it is written beside it.
_LOCK, _HOLDER = ".lock", ".lock.json"
_PATIENCE = 5.0  # seconds


@contextmanager
def held(folder: Path, processes: int = 1) -> Iterator[None]:
    """Hold an existing folder's lock; ``UserError`` that names host and process where another one does.

    One of several ``processes`` of a launch waits for the others of that launch.
    """
    lock, holder = FileLock(folder / _LOCK), folder / _HOLDER
    _acquire(lock, folder, processes)
    try:
        about = {"host": socket.gethostname(), "pid": os.getpid(), "since": _now(), "processes": processes}
        write_whole(holder, json.dumps(about) + "\n")
        yield
    finally:
        # In this order, so that nobody sees a lock without its holder. Those that wait for a lock have its file open:
        # removed, it would be theirs, and a new one another's.
        with suppress(OSError):  # of a folder that became read-only; the lock itself is the system's
            if processes == 1:
                (folder / _LOCK).unlink(missing_ok=True)
            holder.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, folder: Path, processes: int) -> None:
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            lock.acquire(timeout=0 if processes == 1 else 0.2, poll_interval=0.02)
            return
        except Timeout:
            about = read_facts(folder / _HOLDER)
            if processes > 1 and about.get("processes") == processes:
                patience = time.monotonic() + _PATIENCE
                continue
            # Who took it has not yet said who it is, or is about to give it back. That is brief, but may be met after
            # any of the others' turns: patience begins anew with each.
            if processes > 1 and not about and time.monotonic() < patience:
                continue
            raise UserError(
                f"{folder} is in use by {_who(about)}; wait for it to end, or give --output another folder"
            ) from None
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}; give --output another folder") from None


def is_of_the_lock(name: str) -> bool:
    """Whether a file of a folder is the lock's, or one that was being written: no content of anybody's."""
    return name in (_LOCK, _HOLDER) or (name.startswith(".") and name.endswith(".part"))


def _who(about: dict[str, Any]) -> str:
    try:
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except KeyError:
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
