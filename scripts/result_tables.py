"""Tables of committed runs that turn what `rcam-bench` prints of them: a column a network, or a row a metric."""

from pathlib import Path

import pandas as pd

from reciprocam_bench.reporting.best import TOLD, told_marks
from reciprocam_bench.reporting.compare import UNTOLD, comparison
from reciprocam_bench.reporting.report import wanted_table
from reciprocam_bench.reporting.tables import metric_headings, readable_comparison, to_markdown
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import COMPARISON
from reciprocam_bench.runfolder.suite import run_folders

_PAIR = ("reciprocam", "gradcam")


def networks(results: Path, name: str) -> str:
    """ADCC of every method and network of a suite, a table a protocol; then Recipro-CAM against Grad-CAM on each."""
    records = [read_record(folder) for folder in run_folders(results / name)]
    values = pd.concat([_valued(record, "adcc") for record in records], ignore_index=True)
    images = sorted({f"{n:.0f}" for record in records for n in _summary(record)["images"]})
    parts = []
    for protocol, table in values.groupby("protocol", sort=False):
        cells, marks = (_turned(table, column, "network") for column in ("cell", "mark"))
        parts.append(f"ADCC ↑ in percent under {protocol}, {' or '.join(images)} images\n\n{to_markdown(cells, marks)}")
    parts.append(f"{TOLD}.\n")
    pairs = pd.read_csv(results / name / COMPARISON)
    pairs = pairs[(pairs["metric"] == "adcc") & (pairs["method"] == _PAIR[0]) & (pairs["against"] == _PAIR[1])]
    told = readable_comparison(pairs, records[0].definitions).drop(
        columns=["metric", "method", "run", "against", "against run"], errors="ignore"
    )
    where = pairs[["backbone", "protocol"]].rename(columns={"backbone": "network"})
    parts.append(f"ADCC of Recipro-CAM less that of Grad-CAM, in points\n\n{to_markdown(where.join(told))}")
    return "\n".join(parts)


def every_metric(results: Path, name: str) -> str:
    """A row a metric, a column a method, and what asking it took for an image and method."""
    record = read_record(results / name)
    summary, seconds = _summary(record), record.environment.seconds
    headings = metric_headings(summary, record.definitions)
    table = pd.concat([_valued(record, metric).assign(metric=title) for metric, title in headings.items()])
    cells, marks = (_turned(table, column, "method", rows="metric") for column in ("cell", "mark"))
    asked = summary["images"].sum()
    spent = [1000 * seconds.get(f"metrics: {metric}", float("nan")) / asked for metric in headings]
    cells["ms"] = ["" if pd.isna(ms) else f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}" for ms in spent]
    facts = record.environment.model_extra or {}
    title = f"{record.config.backbone.model}, {record.dataset}, {summary['images'].max():.0f} images, protocol "
    title += (
        f"{', '.join(record.config.named_protocols)}, in percent; *ms*: what a metric took for an image and method "
    )
    title += f"on {facts.get('device')}, {facts.get('threads')} threads; what several ask for counts for the first\n"
    return f"{title}\n{to_markdown(cells, marks)}\n{TOLD}.\n"


def metric_differences(results: Path, name: str) -> str:
    """Recipro-CAM less Grad-CAM by every metric, a table a protocol and a column a network of a suite, in points.

    Whether that is better is told as ``rcam-bench compare DIR --baseline gradcam`` tells it.
    """
    tables = []
    for record in (read_record(folder) for folder in run_folders(results / name)):
        pairs = comparison([record], _PAIR[1])
        pairs = pairs[pairs["method"] == _PAIR[0]]
        told = readable_comparison(pairs, record.definitions)
        words = told["verdict"].where(told["verdict"] != UNTOLD, "")
        cells = told.assign(
            protocol=pairs["protocol"], images=pairs["images"], cell=(told["difference"] + " " + words).str.strip()
        )
        tables.append(cells.assign(network=record.config.backbone.model.rpartition("/")[2]))
    parts = []
    for protocol, table in pd.concat(tables, ignore_index=True).groupby("protocol", sort=False):
        images = " to ".join(dict.fromkeys([str(table["images"].min()), str(table["images"].max())]))
        title = f"Recipro-CAM less Grad-CAM in points, protocol {protocol}, {images} images a network"
        parts.append(f"{title}\n\n{to_markdown(_turned(table, 'cell', 'network', rows='metric'))}")
    return "\n".join([*parts, "Without a word: which of the two is better cannot be told.\n"])


def _summary(record: RunRecord) -> pd.DataFrame:
    summary = wanted_table(record, "summary")
    assert summary is not None
    return summary


def _valued(record: RunRecord, metric: str) -> pd.DataFrame:
    """A row a protocol and method of a run: the value as a cell, and whether it is told to be the best."""
    summary = _summary(record)
    marks = told_marks(record, record.rows(), summary)
    cells = summary[metric].map(_digits)
    table = summary[["protocol", "method"]].assign(cell=cells, mark=marks[metric])
    return table.assign(network=record.config.backbone.model.rpartition("/")[2])


def _digits(value: float) -> str:
    """Two decimals, or three digits where there would be fewer: infidelity is a thousandth."""
    return "" if pd.isna(value) else f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def _turned(table: pd.DataFrame, values: str, columns: str, rows: str = "method") -> pd.DataFrame:
    order = [list(dict.fromkeys(table[key])) for key in (rows, columns)]
    wide = table.pivot(index=rows, columns=columns, values=values).reindex(index=order[0], columns=order[1])
    return wide.fillna("").rename_axis(columns=None).reset_index()
