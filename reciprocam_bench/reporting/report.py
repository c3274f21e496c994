"""The tables of run folders in one text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.alike import differing
from reciprocam_bench.reporting.best import TOLD, told_marks
from reciprocam_bench.reporting.pairing import run_names
from reciprocam_bench.reporting.summary import check_agreement, doubts_of, unfinished
from reciprocam_bench.reporting.tables import metric_headings, readable_summary, readable_timing, top1_words
from reciprocam_bench.reporting.text import as_text, check_format, check_words
from reciprocam_bench.runfolder.doubt import busy
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import FORWARD, Definitions
from reciprocam_bench.runfolder.suite import all_run_folders
from reciprocam_bench.runfolder.tables import to_csv

PARTS = ("summary", "timing")
_HEADINGS = {"summary": "quality, in percent", "timing": "time"}


@dataclass(frozen=True)
class _Part:
    """The rows of one table from all runs, and what its columns mean."""

    name: str
    frame: pd.DataFrame
    definitions: Definitions
    title: str
    notes: list[str]
    marks: pd.DataFrame | None = None


def report(folders: Path | Sequence[Path], form: str, parts: Sequence[str] = PARTS, width: int = 100) -> str:
    """``summary.csv`` and ``timing.csv`` of runs, and of those of suites, as readable tables; for ``csv`` as they are.

    CSV holds one table: the summary, or the times where there is no summary or only these are asked for.

    Raises ``UserError`` for another format, runs that cannot stand in one table, and a folder that holds no tables, or
    damaged ones.
    """
    check_format(form)
    check_words("part", parts, PARTS)
    given = [folders] if isinstance(folders, Path) else folders
    records = [read_record(folder) for folder in all_run_folders(given)]
    notes = [note for record in records for note in checked(record, name_it=len(records) > 1)]
    found = [part for name in parts if (part := _part(records, name, notes, with_marks=form != "csv")) is not None]
    if not found:
        raise UserError(f"{', '.join(str(r.path) for r in records)} holds no {' or '.join(parts)} yet; run it first")
    if form == "csv":
        return to_csv(found[0].frame)
    label = "-".join(folder.resolve().name for folder in given)
    return "\n".join(_text(part, form, width, f"{part.name}-{label}") for part in found)


def checked(record: RunRecord, name_it: bool) -> list[str]:
    """Check a run's rows, and return the notes that must stand with a table of them."""
    if not record.environment.finished and not record.judged:
        return []
    rows = record.rows()
    check_agreement(record, rows)
    return [_who(record, name_it) + doubt for doubt in doubts_of(record, rows)]


def _who(record: RunRecord, name_it: bool) -> str:
    return f"{record.config.backbone.model}: " if name_it else ""


def _part(records: Sequence[RunRecord], name: str, notes: list[str], *, with_marks: bool) -> _Part | None:
    """One table of all runs; None where none has it."""
    frames = [(r, frame) for r in records if (frame := wanted_table(r, name)) is not None and len(frame)]
    if not frames:
        return None
    having = [record for record, _ in frames]
    frame = pd.concat([frame for _, frame in frames], ignore_index=True)
    shown = [(r.config.backbone.model, r.dataset if name == "summary" else "") for r in having]
    if len(having) > len(set(shown)):
        # Rows that nothing else tells apart.
        names = dict(zip((record.path for record in records), run_names(records), strict=True))
        frame.insert(0, "run", [names[record.path] for record, rows in frames for _ in range(len(rows))])
    # How fast a network is does not depend on what it has learnt, nor how good maps are on what else a machine does.
    if name == "timing":
        notes = [
            _who(record, len(having) > 1) + line for record in having if (line := busy(record.environment.machine))
        ]
    marks = _marks(frames) if with_marks and name == "summary" else None
    title = _title(having, name, frame) + (unfinished(records) if name == "summary" else "")
    return _Part(name, frame, one_meaning(having), title, list(dict.fromkeys(notes)), marks)


def _marks(frames: Sequence[tuple[RunRecord, pd.DataFrame]]) -> pd.DataFrame | None:
    """The marks of summaries one below the other; None where no run has two methods."""
    if all(frame["method"].nunique() < 2 for _, frame in frames):
        return None
    found = [told_marks(record, record.rows(), frame) for record, frame in frames]
    return pd.concat(found, ignore_index=True).fillna("")


def one_meaning(records: Sequence[RunRecord]) -> Definitions:
    """The definitions of all runs; ``UserError`` where a protocol or a metric of two runs is not the same."""
    for first, other in combinations(records, 2):
        if found := next(_unlike(first.definitions, other.definitions), None):
            raise UserError(f"{other.path}: {found}, as in {first.path}; report the runs one by one")
    return Definitions(metrics={n: m for r in records for n, m in r.definitions.metrics.items()})


def _unlike(first: Definitions, other: Definitions) -> Iterator[str]:
    """How a protocol or a metric of two runs is not the same; what an older folder does not say is no difference."""
    for name, protocol in first.protocols.items():
        if name in other.protocols and (found := differing(protocol.facts, other.protocols[name].facts)):
            yield f"the rows of protocol '{name}' are of other choices: {found}"
    for name, metric in first.metrics.items():
        if found := differing(metric.facts, other.metrics.get(name, metric).facts):
            yield f"metric '{name}' is not the same: {found}"
    for title, method in first.methods.items():
        if (of_other := other.methods.get(title, method)) != method:
            yield f"method '{title}' is {of_other.title}, not {method.title}"


def wanted_table(record: RunRecord, part: str) -> pd.DataFrame | None:
    """The rows of a table that the config asks for."""
    frame = record.summary() if part == "summary" else record.timing()
    config = record.config
    if frame is None:
        if record.environment.finished and (part == "summary" or config.timing):
            raise UserError(f"{record.path} has no {part}.csv; run again, which makes it anew")
        return None
    methods = config.timing.methods or config.methods if part == "timing" and config.timing else config.methods
    wanted = frame["method"].isin([FORWARD, *(m.title for m in methods)])
    if part == "summary":
        wanted &= frame["protocol"].isin(config.named_protocols)
    return frame[wanted].reset_index(drop=True)


def _title(records: Sequence[RunRecord], part: str, frame: pd.DataFrame) -> str:
    networks = list(dict.fromkeys(r.config.backbone.model for r in records))
    network = f"{len(networks)} backbones" if len(networks) > 3 else ", ".join(networks)
    title = f"{network} on {', '.join(dict.fromkeys(r.dataset for r in records))}"
    title += f", {_HEADINGS[part]}"
    if part == "timing":
        return title
    if frame["protocol"].nunique() == 1:
        title += f" (protocol {frame['protocol'].iloc[0]})"
    if len(records) == 1 and (found := top1_words(frame)):
        title += f"; top-1 of the labelled images: {found}"
    return title


def _text(part: _Part, form: str, width: int, label: str) -> str:
    frame = part.frame
    table = readable_summary(frame, part.definitions) if part.name == "summary" else readable_timing(frame)
    if part.marks is None:
        return as_text(table, part.title, part.notes, form, width, label)
    marks = part.marks.rename(columns=metric_headings(frame, part.definitions))
    return as_text(table, part.title, part.notes, form, width, label, marks, TOLD)
