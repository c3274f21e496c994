"""All that a page shows of a run, read from its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.papers import load_paper, paper_names
from reciprocam_bench.reporting.agreement import agreement
from reciprocam_bench.reporting.claims import claims
from reciprocam_bench.reporting.compare import comparison
from reciprocam_bench.reporting.pairing import run_names
from reciprocam_bench.reporting.paper import printed_names
from reciprocam_bench.reporting.paper_runs import runs_of
from reciprocam_bench.reporting.report import checked, one_meaning, wanted_table
from reciprocam_bench.reporting.summary import warnings_of
from reciprocam_bench.reporting.verdicts import MISSING
from reciprocam_bench.runfolder.doubt import busy
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import MetricDefinition
from reciprocam_bench.runfolder.suite import all_run_folders


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder's tables, made ready for a page; ``rows`` is empty where only times were taken.

    Attributes:
        notes: what must stand above its numbers.
        why_not_compared: why there is no comparison; empty where there is one.
    """

    record: RunRecord
    name: str
    rows: pd.DataFrame
    summary: pd.DataFrame
    timing: pd.DataFrame
    rounds: pd.DataFrame
    skipped: pd.DataFrame
    comparison: pd.DataFrame
    agreement: pd.DataFrame
    notes: list[str]
    why_not_compared: str

    @cached_property
    def metrics(self) -> dict[str, MetricDefinition]:
        """The metrics that its summary holds."""
        return {name: metric for name, metric in self.record.metrics.items() if name in self.summary}

    @property
    def main_metric(self) -> str | None:
        """What a page orders by: ADCC, else the first."""
        return "adcc" if "adcc" in self.metrics else next(iter(self.metrics), None)

    def of(self, protocol: str) -> pd.DataFrame:
        """Its summary under a protocol."""
        return self.summary[self.summary["protocol"] == protocol] if len(self.summary) else self.summary

    @property
    def protocols(self) -> list[str]:
        """The protocols of its summary."""
        return list(dict.fromkeys(self.summary["protocol"])) if len(self.summary) else []


@dataclass(frozen=True)
class Claims:
    """A paper's claims beside the runs, what a reader must know of these, and the claims that no run says a word on.

    Attributes:
        table: a row a claim and place that was measured.
        places: how many rows each claim has in all, by its text.
    """

    citation: str
    table: pd.DataFrame
    places: dict[str, int]
    notes: list[str]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs of folders and suites; ``UserError`` where they cannot stand in one page, or hold nothing."""
    records = [read_record(folder) for folder in all_run_folders(folders)]
    one_meaning(records)
    runs = [_read(record, name) for record, name in zip(records, run_names(records), strict=True)]
    if not any(len(run.summary) or len(run.timing) for run in runs):
        raise UserError(f"{', '.join(str(r.path) for r in records)} holds no summary or timing yet; run it first")
    return runs


def claims_of(runs: Sequence[Run]) -> list[Claims]:
    """The claims of every paper whose table some of the runs can stand beside."""
    found = []
    for name in paper_names():
        paper = load_paper(name)
        placed = runs_of(paper, [run.record for run in runs])
        if placed.beside and paper.claims:
            try:
                table = printed_names(paper, claims(paper, placed))
            except UserError as error:  # two runs of one network that are not alike: each is shown, no claim is judged
                found.append(Claims(paper.citation, pd.DataFrame(), {}, [f"Not judged: {error}", *placed.notes]))
                continue
            places = table.groupby("claim", sort=False).size().to_dict()
            measured = table[(table["verdict"] != MISSING) | table["ours"].notna()]
            found.append(Claims(paper.citation, measured, {str(k): int(v) for k, v in places.items()}, placed.notes))
    return found


def _read(record: RunRecord, name: str) -> Run:
    summary, timing = (wanted_table(record, part) for part in ("summary", "timing"))
    rounds, empty = record.timing_rounds(), pd.DataFrame()
    judged = record.judged
    notes = checked(record, name_it=False)
    notes += warnings_of(record.path) if judged else []
    if line := busy(record.environment.machine):
        notes.append(line)
    if judged and record.environment.finished is None:
        notes.insert(0, "the run is not finished")
    compared, why_not = _compared(record)
    return Run(
        record=record,
        name=name,
        rows=record.rows() if judged else empty,
        summary=empty if summary is None else summary,
        timing=empty if timing is None else timing,
        rounds=empty if rounds is None or timing is None else rounds,
        skipped=record.skipped(),
        comparison=compared,
        agreement=_agreement(record),
        notes=list(dict.fromkeys(notes)),
        why_not_compared=why_not,
    )


def _agreement(record: RunRecord) -> pd.DataFrame:
    try:
        return agreement(record)
    except UserError:  # no maps of two methods were kept
        return pd.DataFrame()


def _compared(record: RunRecord) -> tuple[pd.DataFrame, str]:
    if not record.judged:
        return pd.DataFrame(), "no maps were judged"
    if len(record.config.methods) < 2:
        return pd.DataFrame(), "the run holds one method"
    try:
        return comparison([record]), ""
    except UserError as error:
        return pd.DataFrame(), str(error)
