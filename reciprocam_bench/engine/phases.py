"""Seconds spent in each phase of a run."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """Seconds spent in each phase of a run, added to those of earlier starts; ``PHASE: PART`` is a part of a phase."""

    def __init__(self, before: dict[str, float]) -> None:
        self.seconds = defaultdict(float, before)

    @contextmanager
    def __call__(self, name: str, part: str = "") -> Iterator[None]:
        """Add the time spent inside to a phase, and to a part of it."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begun
            for key in (name, f"{name}: {part}") if part else (name,):
                self.seconds[key] += spent
