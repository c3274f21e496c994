"""Seconds spent in each phase of a run."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reciprocam_bench.timing.clock import synchronise


class Phases:
    """Seconds spent in each phase of a run, added to those of earlier starts; ``PHASE: PART`` is a part of a phase."""

    def __init__(self, before: dict[str, float], device: torch.device | None = None) -> None:
        self.seconds = defaultdict(float, before)
        self._device = device or torch.device("cpu")

    @contextmanager
    def __call__(self, name: str, part: str = "") -> Iterator[None]:
        """Add the time spent inside to a phase, and to a part of it."""
        begun = time.perf_counter()
        try:
            yield
            synchronise(self._device)  # what a GPU was given here is not the next phase's work
        finally:
            spent = time.perf_counter() - begun
            for key in (name, f"{name}: {part}") if part else (name,):
                self.seconds[key] += spent
