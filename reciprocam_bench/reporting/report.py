"""The tables of a run folder in one text."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.summary import read_config
from reciprocam_bench.reporting.tables import readable_summary, readable_timing, to_latex, to_markdown

FORMATS = ("markdown", "latex", "csv")
_READABLE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {"summary": readable_summary, "timing": readable_timing}
_NEEDED = {"summary": {"protocol", "method", "images"}, "timing": {"method", "scope", "median_ms"}}
_HEADINGS = {"summary": "quality, in percent", "timing": "time"}


def report(folder: Path, form: str, parts: tuple[str, ...] = ("summary", "timing")) -> str:
    """``summary.csv`` and ``timing.csv`` as readable tables, or as they are for ``csv``.

    Raises ``UserError`` for another format, or a folder that holds no tables.
    """
    if form not in FORMATS:
        raise UserError(f"--format {form}: choose one of {', '.join(FORMATS)}")
    config = read_config(folder)
    texts = []
    for part in parts:
        path = folder / f"{part}.csv"
        if not path.is_file():
            continue
        frame = _read_table(path, part)
        if form == "csv":
            texts.append(frame.to_csv(index=False))
            continue
        dataset = frame["dataset"].iloc[0] if "dataset" in frame else config.dataset.name
        title = f"{config.backbone.model} on {dataset}, {_HEADINGS[part]}"
        if part == "summary" and frame["protocol"].nunique() == 1:
            title += f" (protocol {frame['protocol'].iloc[0]})"
        if part == "summary" and frame["top1"].notna().any():
            title += f"; top-1 of the labelled images: {frame['top1'].dropna().iloc[0]:.1f} %"
        table = _READABLE[part](frame)
        texts.append(f"{title}\n\n{to_markdown(table)}" if form == "markdown" else f"% {title}\n{to_latex(table)}")
    if not texts:
        raise UserError(f"{folder} holds no {' or '.join(parts)} yet; run it first")
    return "\n".join(texts)


def _read_table(path: Path, part: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype={"method": str, "protocol": str})
    except (ValueError, OSError) as error:  # pandas' own errors and UnicodeDecodeError are ValueErrors
        raise UserError(
            f"{path}: not readable as a table: {str(error).splitlines()[0]}; run it again with --fresh"
        ) from None
    if not _NEEDED[part] <= set(frame.columns):
        raise UserError(f"{path}: not the table of a run; run it again with --fresh")
    return frame
