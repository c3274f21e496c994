"""Which method of a run is the best in a metric, and which the second, as far as the data tell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import pandas as pd

from reciprocam_bench.reporting.compare import verdict
from reciprocam_bench.reporting.marks import BEST, SECOND
from reciprocam_bench.reporting.paired import Pair, differences, holm
from reciprocam_bench.reporting.pairing import METHODS, Judged, Match, judged_of
from reciprocam_bench.runfolder.record import RunRecord

TOLD = (
    "Bold: told to be better than every other method of the run that has values, by paired differences on the same "
    "images, p adjusted by Holm for these; underlined: the second, told to be better than all that follow. No mark: "
    "that cannot be told"
)


@dataclass(frozen=True)
class _Ranking:
    """The methods of one protocol by one metric, the best first, and their rows of the summary."""

    metric: str
    up: bool
    index: list[Any]
    methods: list[Judged]


def told_marks(record: RunRecord, rows: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """``best``, ``second`` or nothing, for each row of a run's summary and each of its metrics (a column each).

    Best is what paired differences tell to be better than every other method under the same protocol, with p adjusted
    by Holm for these differences; second is told to be better than all that follow a best. ``rows`` are the run's.
    """
    names = [name for name in record.metrics if name in summary]
    marks = pd.DataFrame("", index=summary.index, columns=names)
    rankings = list(_rankings(record, rows, summary)) if len(rows) else []
    for place, mark in enumerate((BEST, SECOND)):
        rankings = _told(rankings, place, record.config.seed)
        for ranking in rankings:
            marks.loc[ranking.index[place], ranking.metric] = mark
    return marks


def _rankings(record: RunRecord, rows: pd.DataFrame, summary: pd.DataFrame) -> Iterator[_Ranking]:
    judged = judged_of([record], [rows])
    for (protocol, group), (name, metric) in product(summary.groupby("protocol"), record.metrics.items()):
        if name not in summary or metric.higher_is_better is None:
            continue
        found = {one.method: one for one in judged.get(str(protocol), [])}
        group = group[group["method"].isin(found)].dropna(subset=[name])
        group = group.sort_values(name, ascending=not metric.higher_is_better, kind="stable")
        yield _Ranking(name, metric.higher_is_better, list(group.index), [found[m] for m in group["method"]])


def _told(rankings: Sequence[_Ranking], place: int, seed: int) -> list[_Ranking]:
    """Those whose method at a place is told to be better than each that follows, of which there is one at least."""
    pairs: list[Pair] = []
    asked: list[tuple[_Ranking, int]] = []  # and how many pairs
    for ranking in rankings:
        rivals = ranking.methods[place + 1 :]
        found = [Match(METHODS, ranking.methods[place], rival).samples(ranking.metric) for rival in rivals]
        if rivals and None not in found:
            pairs += [pair for pair in found if pair is not None]
            asked.append((ranking, len(rivals)))
    results = iter(differences(pairs, seed, max((count for _, count in asked), default=1), intervals=False))
    told = []
    for ranking, count in asked:
        mine = list(islice(results, count))
        adjusted = holm([result.p for result in mine])
        verdicts = (verdict(r, p, ranking.up) for r, p in zip(mine, adjusted, strict=True))
        told += [ranking] if all(word == "better" for word in verdicts) else []
    return told
