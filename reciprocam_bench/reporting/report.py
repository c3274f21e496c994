"""The tables of a run folder in one text."""

from pathlib import Path

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.tables import readable_summary, readable_timing, to_latex, to_markdown
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import ERROR, PER_IMAGE, SUMMARY

FORMATS = ("markdown", "latex", "csv")
_HEADINGS = {"summary": "quality, in percent", "timing": "time"}


def report(folder: Path, form: str, parts: tuple[str, ...] = ("summary", "timing")) -> str:
    """``summary.csv`` and ``timing.csv`` as readable tables, or as they are for ``csv``.

    Raises ``UserError`` for another format, or a folder that holds no tables, or damaged ones.
    """
    if form not in FORMATS:
        raise UserError(f"--format {form}: choose one of {', '.join(FORMATS)}")
    record = read_record(folder)
    if record.environment.finished or (folder / PER_IMAGE).exists():
        _check_agreement(record)
    texts = []
    for part in parts:
        frame = _table(record, part)
        if frame is not None and len(frame):
            texts.append(_text(record, part, frame, form))
    if not texts:
        raise UserError(f"{folder} holds no {' or '.join(parts)} yet; run it first")
    return "\n".join(texts)


def _table(record: RunRecord, part: str) -> pd.DataFrame | None:
    """The rows of a table that the config asks for."""
    frame = record.summary() if part == "summary" else record.timing()
    config = record.config
    if frame is None:
        if record.environment.finished and (part == "summary" or config.timing):
            raise UserError(f"{record.path} has no {part}.csv; run again, which makes it anew")
        return None
    methods = config.timing.methods or config.methods if part == "timing" and config.timing else config.methods
    wanted = frame["method"].isin([m.title for m in methods])
    if part == "summary":
        wanted &= frame["protocol"].isin(config.protocol)
    return frame[wanted].reset_index(drop=True)


def _check_agreement(record: RunRecord) -> None:
    """A table of rows that are damaged, or are other rows, is not to be believed."""
    rows, summary = record.rows(), record.summary()
    if summary is None or record.environment.finished is None:
        return
    judged = rows[~rows["status"].str.startswith(ERROR)].groupby(["protocol", "method"])["image"].nunique()
    for protocol, method, images in summary[["protocol", "method", "images"]].itertuples(index=False):
        found = int(judged.get((protocol, method), 0))
        if found != images:
            raise UserError(
                f"{record.path / SUMMARY} says that {images:.0f} images of '{method}' were judged under {protocol}, "
                f"{PER_IMAGE} holds {found}; run again, which makes both whole"
            )


def _text(record: RunRecord, part: str, frame: pd.DataFrame, form: str) -> str:
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    title = f"{record.config.backbone.model} on {record.dataset}, {_HEADINGS[part]}"
    if part == "summary" and frame["protocol"].nunique() == 1:
        title += f" (protocol {frame['protocol'].iloc[0]})"
    if part == "summary" and frame["top1"].notna().any():
        title += f"; top-1 of the labelled images: {frame['top1'].dropna().iloc[0]:.1f} %"
    if part == "summary" and record.environment.finished is None:
        title += "; the run is not finished"
    table = readable_summary(frame, record.definitions) if part == "summary" else readable_timing(frame)
    return f"{title}\n\n{to_markdown(table)}" if form == "markdown" else f"% {title}\n{to_latex(table)}"
