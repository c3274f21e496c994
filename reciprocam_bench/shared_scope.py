"""Scopes that change the whole process, for several threads."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock


class SharedScope:
    """A scope of the process that threads may be in side by side: the first one enters it, the last one leaves it.

    One thread's leaving would else put back what another still needs, or what another had changed.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make, self._lock, self._inside = make, Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Be in the scope."""
        with self._lock:
            if not self._inside:
                self._scope = self._make()
                self._scope.__enter__()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._scope.__exit__(None, None, None)
