"""Which of several processes this one is, as PyTorch's launcher tells it."""

import os
from dataclasses import dataclass

from reciprocam_bench.errors import UserError

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True)
class Rank:
    """A process of a launch: its ``number`` of ``count``, and ``local``, its number on its machine; all from 0."""

    number: int = 0
    count: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether it is the one that talks and times."""
        return self.number == 0

    @property
    def cores(self) -> int:
        """Its share of the processors that it may run on, as if all processes were on this machine."""
        allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, allowed // self.count)


def this_rank() -> Rank:
    """What ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` say; a process that no launcher started is alone.

    Raises ``UserError`` where one of them is missing, is no number, or does not fit the others.
    """
    given = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if "RANK" not in given and "WORLD_SIZE" not in given:
        return Rank()
    for name in _VARIABLES:
        if not given.get(name, "").isdecimal():
            found = f"'{given[name][:30]}'" if name in given else "not set"
            raise UserError(f"{name} is {found}, it must be a number: start with torchrun, or unset {_unset(given)}")
    number, count, local = (int(given[name]) for name in _VARIABLES)
    if number >= count:
        raise UserError(f"RANK is {number}, WORLD_SIZE {count}: ranks count from 0; start with torchrun")
    return Rank(number, count, local)


def _unset(given: dict[str, str]) -> str:
    return ", ".join(given)
