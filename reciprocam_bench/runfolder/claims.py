"""Things that processes share out among themselves, also those of several machines, without talking to each other."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from reciprocam_bench.errors import UserError

_DONE = b"x"


class Claims:
    """A byte of a file for each thing: locked while a process has the thing, written when it is done.

    The locks are POSIX record locks. Network file systems keep them too, child processes do not inherit them, and the
    system takes them back from a process that ends, in whatever way. They are of a process, not of an object: one
    process opens a file of claims once at a time, as closing any handle gives back all.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"{path} cannot be opened: {error.strerror}; give --output another folder") from None
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back what this process has."""
        os.close(self._handle)

    def take(self, thing: int) -> bool:
        """Have a thing that nobody else has and that is not done; False where there is no having it."""
        if not self._lock(thing, 1):
            return False
        # Read under the lock: a network file system shows then what others wrote.
        if os.pread(self._handle, 1, thing) == _DONE:
            self.give_back(thing)
            return False
        return True

    def finish(self, thing: int) -> None:
        """Mark a thing that this process has as done, for good."""
        try:
            os.pwrite(self._handle, _DONE, thing)
        except OSError as error:
            raise UserError(f"{self._path} cannot be written: {error.strerror}; run the same command again") from None
        self.give_back(thing)

    def give_back(self, thing: int) -> None:
        """Let others have a thing."""
        import fcntl

        fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, thing)

    def done(self) -> set[int]:
        """The things that are done."""
        return {i for i, byte in enumerate(os.pread(self._handle, os.fstat(self._handle).st_size, 0)) if byte}

    def others(self) -> bool:
        """Whether another process has anything; what this one has it keeps only if that is nothing."""
        if not self._lock(0, 0):
            return True
        self._unlock_all()
        return False

    def is_free(self, thing: int) -> bool:
        """Whether no other process has a thing, which this one has not."""
        if not self._lock(thing, 1):
            return False
        self.give_back(thing)
        return True

    def _lock(self, first: int, length: int) -> bool:
        try:
            import fcntl
        except ImportError:
            raise UserError("several processes in one folder need Linux or macOS; start one process") from None
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
        except (BlockingIOError, PermissionError):  # what POSIX allows for "somebody has it"
            return False
        except OSError as error:
            raise UserError(
                f"{self._path}: this file system keeps no locks ({error.strerror}); give --output a folder on another"
            ) from None
        return True

    def _unlock_all(self) -> None:
        import fcntl

        fcntl.lockf(self._handle, fcntl.LOCK_UN, 0, 0)
