"""Seconds spent in each phase of a run."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """Seconds spent in each phase of a run, added to those of earlier starts."""

    def __init__(self, before: dict[str, float]) -> None:
        self.seconds = defaultdict(float, before)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a phase."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begun
