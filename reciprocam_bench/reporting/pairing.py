"""Which methods of which runs stand against each other, on the trials that both have values for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.estimate import Sample, columns_of, sample_of
from reciprocam_bench.runfolder.record import ROWS_CURE, RunRecord
from reciprocam_bench.runfolder.tables import line_of

# The two questions, each with a table and a family of tests of its own.
METHODS, RUNS = "methods", "runs"


@dataclass(frozen=True, eq=False)
class Judged:
    """The rows of one method of one run under one protocol; images and trials are numbers that all runs share.

    An image has the trials from ``of_image`` times its number on, at most so many.
    """

    record: RunRecord
    run: str
    method: str
    rows: pd.DataFrame
    of_image: int
    _trials: dict[str, np.ndarray] = field(default_factory=dict)
    _samples: dict[tuple[str, bytes], Sample | None] = field(default_factory=dict)

    @cached_property
    def images(self) -> np.ndarray:
        """The images that it has rows of."""
        return self.rows["image"].unique()

    def trials(self, metric: str) -> np.ndarray:
        """The trials that have a value of the metric, ``(T,)``, sorted."""
        if metric not in self._trials:
            columns = columns_of(self.record.metrics[metric], self.record.metrics)
            valued = self.rows[columns].notna().all(axis=1)
            self._trials[metric] = np.sort(self.rows["trial"].to_numpy()[valued])
        return self._trials[metric]

    def sample(self, metric: str, trials: np.ndarray) -> Sample | None:
        """The values of the metric on some of its trials: one object, however often it is asked for."""
        key = (metric, trials.tobytes())
        if key not in self._samples:
            rows = self.rows[self.rows["trial"].isin(trials)]
            self._samples[key] = sample_of(self.record.metrics[metric], rows, self.record.metrics)
        return self._samples[key]


@dataclass(frozen=True, eq=False)
class Match:
    """One method against another, or against itself in another run."""

    family: str
    first: Judged
    second: Judged

    @property
    def metrics(self) -> list[str]:
        """The metrics that both were judged by."""
        return [name for name in self.first.record.metrics if name in self.second.record.metrics]

    @cached_property
    def trials(self) -> np.ndarray:
        """The trials that one of the two has rows of, ``(T,)``, sorted."""
        return np.union1d(self.first.rows["trial"], self.second.rows["trial"])

    def left_out(self, metric: str) -> int:
        """How many images are left out, in whole or with one of their trials, for want of a value of one of the two."""
        common = self._common(metric)
        if len(common) == len(self.trials):
            return 0
        return len(np.unique(np.setdiff1d(self.trials, common, assume_unique=True) // self.first.of_image))

    def _common(self, metric: str) -> np.ndarray:
        a, b = self.first.trials(metric), self.second.trials(metric)
        return a if np.array_equal(a, b) else np.intersect1d(a, b, assume_unique=True)

    def samples(self, metric: str) -> tuple[Sample, Sample] | None:
        """Both on the trials that both have values for; None where there are none."""
        common = self._common(metric)
        first, second = self.first.sample(metric, common), self.second.sample(metric, common)
        return None if first is None or second is None else (first, second)


def matches(judged: Sequence[Judged], baseline: str | None) -> Iterator[Match]:
    """Every two methods once, the later one first; then every method that several runs hold, in each two of them.

    Two methods are taken from the first run that holds both, from two runs only where none does. With a baseline only
    what is compared with it; it stands second.
    """
    holding: dict[str, dict[str, Judged]] = {}
    for one in judged:
        holding.setdefault(one.method, {})[one.run] = one
    for earlier, later in combinations(holding, 2):
        if baseline is None or baseline in (earlier, later):
            a, b = (earlier, later) if later == baseline else (later, earlier)
            yield Match(METHODS, *_nearest(holding[a], holding[b]))
    for method, runs in holding.items():
        if baseline in (None, method):
            for one, other in combinations(runs.values(), 2):
                yield Match(RUNS, other, one)


def _nearest(first: dict[str, Judged], second: dict[str, Judged]) -> tuple[Judged, Judged]:
    run = next((run for run in first if run in second), None)
    return (first[run], second[run]) if run else (next(iter(first.values())), next(iter(second.values())))


def judged_of(records: Sequence[RunRecord], tables: Sequence[pd.DataFrame]) -> dict[str, list[Judged]]:
    """What was judged under each protocol, in the order of the configs; ``tables`` are the runs' rows."""
    together = pd.concat(tables, keys=range(len(tables)))
    images, _ = pd.factorize(together["image"], sort=True)
    categories, distinct = pd.factorize(together["category"], sort=True)
    of_image = max(1, len(distinct))
    together = together.assign(image=images, trial=images * of_image + categories)
    found: dict[str, list[Judged]] = {}
    for place, (record, run) in enumerate(zip(records, run_names(records), strict=True)):
        rows = together.loc[place] if len(tables[place]) else tables[place]
        groups = dict(iter(rows.groupby(["protocol", "method"], sort=False)))
        for protocol in record.config.named_protocols:
            for method in record.config.methods:
                mine = groups.get((protocol, method.title))
                if mine is not None:
                    _check_single(record, mine)
                    found.setdefault(protocol, []).append(Judged(record, run, method.title, mine, of_image))
    return found


def _check_single(record: RunRecord, rows: pd.DataFrame) -> None:
    again = rows.index[rows["trial"].duplicated()]
    if len(again):
        path = record.rows_path
        line = line_of(path, int(again[0]))
        raise UserError(f"{path}, line {line}: this row of '{rows['method'].iloc[0]}' is there twice; {ROWS_CURE}")


def run_names(records: Sequence[RunRecord]) -> list[str]:
    """Folder names; paths as they were given where two folders have one name."""
    names = [record.path.resolve().name for record in records]
    return names if len(set(names)) == len(names) else [str(record.path) for record in records]
