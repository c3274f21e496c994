"""Times the contenders of a group in turn, in one process, and makes a table of the ratios."""

import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from peer_comparison.contender import Contender, Result, largest_difference
from peer_comparison.memory import as_users_have_it, as_we_have_it
from peer_comparison.subject import Subject
from reciprocam_bench.speedup import speedup
from reciprocam_bench.timing.clock import measured
from reciprocam_bench.timing.peak import peak_memory

Group = Callable[[Subject], list[Contender]]
_MOST_BLOCKS = 10


def compare(group: Group, subject: Subject, repeats: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The group's table, ratios against its first contender, and every measured call in milliseconds."""
    memory, results = _once(group(subject), subject.backbone.device)
    calls = _rounds(group, subject, repeats)
    return _table(group(subject), calls, memory, results), calls


def _once(contenders: Sequence[Contender], device: torch.device) -> tuple[dict[str, int], dict[str, Result]]:
    """Peak bytes and result of a first call of each, which warms it up as well."""
    memory, results = {}, {}
    for contender in contenders:
        made: list[Result] = []
        (as_users_have_it if contender.theirs else as_we_have_it)()
        memory[contender.title] = peak_memory(partial(_into, made, contender.call), device)
        results[contender.title] = made[0]
    return memory, results


def _into(made: list[Result], call: Callable[[], Result]) -> None:
    made.append(call())


def _rounds(group: Group, subject: Subject, repeats: int) -> pd.DataFrame:
    """Blocks of rounds, each block elsewhere in memory; a round begins one contender further than the one before."""
    calls = []
    contenders: list[Contender] = []
    for block, rounds in enumerate(np.array_split(range(repeats), min(repeats, _MOST_BLOCKS))):
        # Hooks hold their networks in circles, which nothing else would find before the memory is full of them.
        contenders.clear()
        gc.collect()
        contenders = group(subject.elsewhere())
        for number in map(int, rounds):
            for i in range(len(contenders)):
                contender = contenders[(i + number) % len(contenders)]
                _settle(contender, subject)
                wall = measured(contender.call, subject.backbone.device).wall * contender.times
                calls.append({"contender": contender.title, "block": block, "round": number, "ms": wall})
            print(f"  {group.__name__}: round {number + 1} of {repeats}", file=sys.stderr, flush=True)
    return pd.DataFrame(calls)


def _settle(contender: Contender, subject: Subject) -> None:
    """Give the contender the memory of its own users, as they find it after the first pass."""
    (as_users_have_it if contender.theirs else as_we_have_it)()
    with torch.no_grad():
        subject.backbone(subject.images)


def _table(
    contenders: Sequence[Contender], calls: pd.DataFrame, memory: dict[str, int], results: dict[str, Result]
) -> pd.DataFrame:
    by = {title: rows.set_index("round").sort_index() for title, rows in calls.groupby("contender")}
    baseline, rows = contenders[0], []
    for contender in contenders:
        mine, base = by[contender.title], by[baseline.title]
        ratio: tuple[float | None, ...] = (1.0, 1.0, 1.0)
        if contender is not baseline:
            ratio = speedup(mine["ms"].to_numpy(), base["ms"].to_numpy(), base["block"].to_numpy())
        like = contender.like
        row = {"contender": contender.title, "baseline": baseline.title, "median_ms": mine["ms"].median()}
        row |= dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))
        row |= {
            "rounds": len(mine),
            "blocks": mine["block"].nunique(),
            "peak_memory_mb": memory[contender.title] / 2**20,
        }
        row |= {"like": like or ""}
        same = None if like is None else largest_difference(results[contender.title], results[like])
        rows.append(row | {"largest_difference": same} | _against_like(by, mine, like))
    return pd.DataFrame(rows)


def _against_like(by: dict[str, pd.DataFrame], theirs: pd.DataFrame, like: str | None) -> dict[str, float | None]:
    """Our time as a share of theirs, for the contender that ours is like."""
    found: tuple[float | None, ...] = (None, None, None)
    if like is not None:
        found = speedup(by[like]["ms"].to_numpy(), theirs["ms"].to_numpy(), theirs["block"].to_numpy())
    return dict(zip(("ours_to_theirs", "ours_to_theirs_low", "ours_to_theirs_high"), found, strict=True))
