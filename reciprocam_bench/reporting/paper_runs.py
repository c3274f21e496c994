"""Which runs can stand beside a paper's table, where in it, and what a reader must know of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reciprocam_bench.protocols.papers import Paper
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.reporting.summary import HARMLESS_OPTIONS, check_agreement, doubts_of
from reciprocam_bench.runfolder.doubt import busy, untrained
from reciprocam_bench.runfolder.record import RunRecord
from reciprocam_bench.runfolder.schema import MethodDefinition
from reciprocam_bench.titles import parse_title

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class Beside:
    """A run whose values stand beside those of one data set and backbone of the paper, under these protocols."""

    record: RunRecord
    dataset: str
    backbone: str
    protocols: list[str]
    rows: pd.DataFrame
    summary: pd.DataFrame

    def title_of(self, variant: str) -> str | None:
        """The title under which the run has a variant, given by a title of the paper's file; None where it has none."""
        methods = self.record.definitions.methods
        titles = [m.title for m in self.record.config.methods if m.title in methods]
        return next((title for title in titles if is_variant(methods[title], variant)), None)


@dataclass(frozen=True, eq=False)
class Timed:
    """A run with times of one of the paper's backbones."""

    record: RunRecord
    backbone: str
    calls: pd.DataFrame


@dataclass(frozen=True)
class Runs:
    """What of the folders given can be used, and the notes that must stand with it."""

    beside: list[Beside]
    timed: list[Timed]
    notes: list[str]


def is_variant(method: MethodDefinition, variant: str) -> bool:
    """Whether a run's method is the one of this title, whatever way to the same numbers it takes."""
    options = {key: value for key, value in method.options.items() if key not in HARMLESS_OPTIONS}
    return {"name": method.name, **options} == parse_title(variant)


def runs_of(paper: Paper, records: Sequence[RunRecord]) -> Runs:
    """Sort the runs into the paper's table; each that cannot stand there is left out with a note that says why."""
    found = Runs([], [], [])
    for record in records:
        backbone = _backbone(paper, record)
        if not backbone:
            found.notes.append(f"{record.path} is left out: {record.config.backbone.model} is no network of the table")
            continue
        calls = record.timing_rounds()
        if calls is not None:
            found.timed.append(Timed(record, backbone, calls))
            if line := busy(record.environment.machine):
                found.notes.append(f"{record.path}: {line}")
        if not record.judged:
            if calls is None:
                found.notes.append(f"{record.path} is left out: it holds neither rows nor times yet; run it first")
            continue
        _place(found, paper, record, backbone)
    return found


def _place(found: Runs, paper: Paper, record: RunRecord, backbone: str) -> None:
    dataset, summary = _dataset(paper, record), record.summary()
    reasons = {name: _why_not(record, name) for name in paper.protocols if name in record.config.named_protocols}
    why = _why_none(paper, record, dataset)
    if not why and summary is None:
        why = "it has no summary.csv yet; run it again"
    if not why and not reasons:
        why = f"its protocol is {', '.join(record.config.named_protocols)}, the table's {' or '.join(paper.protocols)}"
    notes = [why] if why else list(dict.fromkeys(reason for reason in reasons.values() if reason))
    found.notes.extend(f"{record.path} is left out: {note}" for note in notes)
    protocols = [name for name, reason in reasons.items() if not reason]
    if why or not protocols or summary is None:
        return
    rows = record.rows()
    check_agreement(record, rows)
    run = Beside(record, dataset, backbone, protocols, rows, summary)
    found.beside.append(run)
    found.notes.extend(f"{record.path}: {note}" for note in _notes(paper, run))


def _backbone(paper: Paper, record: RunRecord) -> str:
    """The table's network that a run's is; timm's names may end in a tag for the weights. Empty where it is none."""
    model = record.config.backbone.model
    if record.config.backbone.factory is not None:
        return ""
    return next((b.id for b in paper.backbones if model == b.id or model.startswith(f"{b.id}.")), "")


def _dataset(paper: Paper, record: RunRecord) -> str:
    return record.dataset if record.dataset in {d.id for d in paper.datasets} else ""


def _why_none(paper: Paper, record: RunRecord, dataset: str) -> str:
    """Why no value of a run can stand in the table; empty where they can."""
    config = record.config
    if untrained(config.backbone):
        return "its weights are random (weights: none)"
    if not dataset:
        return f"its data set is {record.dataset}, the table's {' or '.join(d.id for d in paper.datasets)}"
    if config.backbone.layer != "auto":
        return f"its layer is '{config.backbone.layer}', not the table's (auto)"
    if config.preprocess != "protocol":
        return f"its preprocess is {config.preprocess}, not the protocol's"
    if paper.weights and config.backbone.head:
        return f"its head is {config.backbone.head}, not the network's own"
    return ""


def _why_not(record: RunRecord, protocol: str) -> str:
    """Why the values under one protocol cannot stand there; empty where they can."""
    made, known = record.definitions.protocols[protocol], load_protocol(protocol)
    if made.version != known.version:
        return f"its {protocol} is of version {made.version}, the one here of {known.version}; run it again"
    if record.config.classes not in (None, made.classes):
        return f"it explains classes '{record.config.classes}', {protocol} {made.classes}"
    return ""


def _other_file(paper: Paper, run: Beside) -> str:
    """The SHA-256 of a run's weights where these are not the paper's; nothing where they are, or not known."""
    wanted = next(b.sha256 for b in paper.backbones if b.id == run.backbone)
    found = str(run.record.environment.fingerprint.get("weights") or "")
    if not wanted or not _SHA256.fullmatch(found) or found.startswith(wanted):
        return ""
    return f"SHA-256 {found[:8]}…, not {wanted}…"


def _notes(paper: Paper, run: Beside) -> list[str]:
    """What of a run that stands in the table is not as the paper's."""
    record, notes = run.record, []
    published = next(d.images for d in paper.datasets if d.id == run.dataset)
    images = int(run.summary["images"].max()) if len(run.summary) else 0
    if images < published:
        notes.append(f"{images} images, published values are of all {published}")
    weights = record.config.backbone.weights
    if paper.weights and weights != paper.weights:
        notes.append(f"its weights are '{weights}', the paper's {paper.weights}")
    elif paper.weights and (other := _other_file(paper, run)):
        notes.append(f"its weights are another file than {paper.weights}: {other}")
    if record.environment.difficult_by == "rule" and any(c.id.endswith("_difficult") for c in paper.columns):
        notes.append("its difficult subset is by rule, the published one by a list")
    if record.environment.finished is None:
        notes.append("the run is not finished")
    return notes + doubts_of(record, run.rows, run.protocols)
