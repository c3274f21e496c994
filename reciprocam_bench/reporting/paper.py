"""``rcam-bench report --paper``: a paper's table with ours beside it, and what the data say of its claims."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reciprocam_bench.protocols.papers import Paper, load_paper
from reciprocam_bench.reporting.claims import claims, judged_under
from reciprocam_bench.reporting.marks import LARGEST, largest_marks
from reciprocam_bench.reporting.paper_cells import cells, laid_out
from reciprocam_bench.reporting.paper_runs import Runs, runs_of
from reciprocam_bench.reporting.tables import readable_claims
from reciprocam_bench.reporting.terminal import to_terminal
from reciprocam_bench.reporting.text import as_text, check_format, check_words, heading_of
from reciprocam_bench.runfolder.record import read_record
from reciprocam_bench.runfolder.suite import all_run_folders
from reciprocam_bench.runfolder.tables import to_csv

PAPER_PARTS = ("table", "claims")


def paper_report(
    folders: Sequence[Path], form: str, name: str, parts: Sequence[str] = PAPER_PARTS, width: int = 100
) -> str:
    """The table of a paper beside the values of runs, and of those of suites, and its claims judged by them.

    For ``csv`` one tidy table: the cells, or the claims where only these are asked for.

    Raises ``UserError`` for an unknown paper, format or part, damaged folders, and runs of one network that cannot be
    compared.
    """
    paper = load_paper(name)
    check_format(form)
    check_words("part", parts, PAPER_PARTS)
    records = [read_record(folder) for folder in all_run_folders(folders)]
    runs = runs_of(paper, records)
    if form == "csv":
        frame = cells(paper, runs) if "table" in parts else claims(paper, runs)
        return to_csv(frame, "%.6g")
    texts: list[str] = []
    for part in PAPER_PARTS:
        if part in parts:
            make = _tables if part == "table" else _claims
            texts += make(paper, runs, form, width, with_notes=not texts or form == "latex")
    return "\n".join(texts)


def _tables(paper: Paper, runs: Runs, form: str, width: int, with_notes: bool) -> list[str]:
    """A table for each protocol that runs hold."""
    if form == "terminal":  # has no room for what lies side by side in print
        paper = paper.model_copy(update={"across": []})
    texts = []
    for protocol, part in cells(paper, runs).groupby("protocol", sort=False):
        made = laid_out(paper, part)
        title = (
            f"{paper.table} of {paper.citation}, in percent (protocol {protocol}): ours with its 95 % interval, and "
            "the published value with ours less it"
        )
        notes = [*paper.notes, *runs.notes] if with_notes else []
        notes.append("published values: " + "; ".join(made.sources))
        with_notes = form == "latex"
        label = f"{paper.name}-{protocol}" if protocol != paper.name else paper.name
        # As papers print them: by the value alone, as the published values have no rows that could be compared.
        marks, legend = (largest_marks(made.table, made.competing), LARGEST) if form == "latex" else (None, "")
        texts.append(as_text(made.table, title, notes, form, width, label, marks, legend))
    return texts


def _claims(paper: Paper, runs: Runs, form: str, width: int, with_notes: bool) -> list[str]:
    frame = printed_names(paper, claims(paper, runs))
    if frame.empty:
        return []
    title = f"Claims of {paper.citation}: differences in percentage points with paired 95 % intervals"
    if any(claim.kind == "speedup" for claim in paper.claims):
        title += ", speed-ups in times (×)"
    title += judged_under(frame)
    notes = runs.notes if with_notes else []
    if form != "terminal":
        return [as_text(readable_claims(frame), title, notes, form, width, f"{paper.name}-claims")]
    parts = [(text, readable_claims(part).drop(columns="claim")) for text, part in frame.groupby("claim", sort=False)]
    return [heading_of(title, notes) + "\n", *(f"{text}\n\n{to_terminal(table, width)}" for text, table in parts)]


def printed_names(paper: Paper, frame: pd.DataFrame) -> pd.DataFrame:
    """Data sets and backbones as the paper prints them, in one column."""
    datasets, backbones = {d.id: d.title for d in paper.datasets}, {b.id: b.title for b in paper.backbones}
    place = frame["backbone"].replace(backbones)
    if len(datasets) > 1:
        place = frame["dataset"].map(datasets).map("{}, ".format, na_action="ignore").fillna("") + place
    return frame.assign(backbone=place)
