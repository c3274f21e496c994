"""Speed-ups of a run folder, from its measured calls."""

from collections.abc import Iterator

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.baseline import Pair
from reciprocam_bench.gate.decide import Estimate
from reciprocam_bench.runfolder.record import RunRecord
from reciprocam_bench.runfolder.schema import ERROR, FORWARD, TIMING_ROUNDS
from reciprocam_bench.speedup import speedup_of_calls


class Rounds:
    """The measured calls of a run folder."""

    def __init__(self, record: RunRecord) -> None:
        self._path = record.path
        rounds, table = record.timing_rounds(), record.timing()
        if rounds is None or table is None:
            raise UserError(
                f"{record.path} has no {TIMING_ROUNDS}; time it with rcam-bench time and its config, "
                f"--output {record.path}"
            )
        self._table = table
        self._calls = dict(iter(rounds.groupby(["method", "scope", "batch_size"])))

    def ratio(self, pair: Pair, wanted_by: str) -> Estimate | str:
        """How many times faster a pair's method is, or why that could not be timed.

        ``UserError`` where it was not timed at all; ``wanted_by`` names what asks for it.
        """
        below = self._calls_of(pair, pair.method, wanted_by)
        above = self._calls_of(pair, pair.over, wanted_by)
        if isinstance(below, str) or isinstance(above, str):
            return next(reason for reason in (below, above) if isinstance(reason, str))
        found = speedup_of_calls(above, below)
        if found is None:
            raise UserError(f"{self._path / TIMING_ROUNDS}: {pair} have no round in common; time the run again")
        return Estimate(*found)

    def pairs(self) -> Iterator[Pair]:
        """The pairs that are checked unless a baseline says otherwise.

        Every method over the one that speed-ups are relative to, in each scope and batch size, and that one over the
        network alone, which shows a loss of its own. Without such a method, all over the network alone.
        """
        timed = self._table[self._table["scope"].ne(FORWARD) & ~_failed(self._table["status"])]
        for method, scope, size, over in timed[["method", "scope", "batch_size", "relative_to"]].itertuples(
            index=False
        ):
            alone = over == method or not over or (over, scope, size) not in self._calls
            if not alone or scope == "end-to-end":
                yield Pair(method=method, over=FORWARD if alone else over, scope=scope, batch_size=size)

    def _calls_of(self, pair: Pair, method: str, wanted_by: str) -> pd.DataFrame | str:
        scope = FORWARD if method == FORWARD else pair.scope
        found = self._calls.get((method, scope, pair.batch_size))
        if found is not None:
            return found
        rows = self._table[(self._table["method"] == method) & (self._table["batch_size"] == pair.batch_size)]
        failed = rows["status"][rows["scope"].eq(scope) & _failed(rows["status"])]
        if len(failed):
            return f"{method} could not be timed: {failed.iloc[0].partition(': ')[2]}"
        raise UserError(
            f"{self._path} holds no times of '{method}', {scope}, batch {pair.batch_size}, which {wanted_by} asks for; "
            "time it, or take it out of there"
        )


def _failed(status: pd.Series) -> pd.Series:
    return status.astype(str).str.startswith(ERROR)
