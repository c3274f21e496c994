"""The tables that are made of a run folder's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.published import Published, published
from reciprocam_bench.reporting.estimate import Sample, estimate, sample_of
from reciprocam_bench.runfolder.disk import write_whole
from reciprocam_bench.runfolder.doubt import doubt_of, strange_labels
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import ERROR, PER_CLASS, PER_IMAGE, SKIPPED, SUMMARY, VERSION, MetricDefinition
from reciprocam_bench.runfolder.tables import to_csv

# Ways to the same numbers.
HARMLESS_OPTIONS = {"path"}
_KINDS = ("constant", "nan", ERROR)

Row = dict[str, Any]


def write_tables(folder: Path) -> None:
    """Write ``summary.csv``, and ``per_class.csv`` where a metric of localisation was measured."""
    record = read_record(folder)
    rows = record.rows()
    for name, table in ((SUMMARY, summarise(record, rows)), (PER_CLASS, per_class(record, rows))):
        if table is not None:
            write_whole(folder / name, to_csv(table, "%.4f"))


@dataclass(frozen=True)
class _Cell:
    """A data set value that is still to be estimated: its place in the table, and what it is made of."""

    row: Row
    column: str
    metric: MetricDefinition
    rows: pd.DataFrame
    published: float | None


def summarise(record: RunRecord, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per protocol and method: counts, then every metric in percent with its interval and published value.

    Intervals are 95 % bootstrap percentile intervals that resample images, with all their trials. Rows with an error
    are counted and left out of the means; constant and NaN maps are in them, judged as maps that mark nothing.
    """
    rows = rows.assign(image=pd.factorize(rows["image"], sort=True)[0])  # numbers are compared faster than ids
    groups = dict(iter(rows.groupby(["protocol", "method"], sort=False)))
    table: list[Row] = []
    cells: list[_Cell] = []
    for protocol in record.config.named_protocols:
        for method in record.config.methods:
            group = groups.get((protocol, method.title), rows.iloc[:0])
            row, of_row = _row(record, protocol, method.title, group)
            table.append(row)
            cells += of_row
    samples: list[Sample | None] = [sample_of(c.metric, c.rows, record.metrics) for c in cells]
    for cell, (value, low, high) in zip(cells, estimate(samples), strict=True):
        cell.row.update({cell.column: value, f"{cell.column}_low": low, f"{cell.column}_high": high})
        if cell.metric.terms:
            mean = cell.rows[cell.metric.columns[0]].mean()
            cell.row[f"{cell.column}_mean"] = 100 * float(mean) if len(cell.rows) else None
        cell.row[f"{cell.column}_published"] = cell.published
    for row in table:
        row["published_note"] = row.pop("published_note")
    return pd.DataFrame(table)


def per_class(record: RunRecord, rows: pd.DataFrame) -> pd.DataFrame | None:
    """One row per protocol, method and category: trials and the mean of every metric of localisation, in percent.

    None where no such metric was measured, and where every map failed.
    """
    columns = [c for m in record.metrics.values() if m.localised for c in m.columns]
    if not columns:
        return None
    rows = rows[(rows["category"] != "") & rows[columns].notna().any(axis=1)]
    table = []
    for protocol in record.config.named_protocols:
        for method in record.config.methods:
            mine = rows[(rows["protocol"] == protocol) & (rows["method"] == method.title)]
            for category, group in mine.groupby("category", sort=True):
                hard = group[group["difficult"] == "1"]
                version = record.definitions.protocols[protocol].version
                fixed = {"protocol": protocol, VERSION: version, "method": method.title, "category": category}
                counts = {"trials": len(group), "trials_difficult": len(hard)}
                means = {c: 100 * group[c].mean() for c in columns}
                means |= {f"{c}_difficult": 100 * hard[c].mean() for c in columns if "@" not in c}
                table.append({**fixed, **counts, **means})
    return pd.DataFrame(table) if table else None


def warnings_of(folder: Path) -> list[str]:
    """What a reader should know of the network and the maps before believing a mean of them."""
    record = read_record(folder)
    summary = record.summary()
    if summary is None:
        return _unread(record)
    rows = record.rows()
    maps = rows.groupby(["protocol", "method"]).size()
    lines = doubts_of(record, rows) + _unread(record)
    for _, row in summary.iterrows():
        bad = {key: int(row[key]) for key in ("errors", "nan", "constant") if row[key]}
        if bad:
            what = ", ".join(f"{count} {key}" for key, count in bad.items())
            total = int(maps.get((row["protocol"], row["method"]), 0))
            lines.append(f"{row['method']} ({row['protocol']}): {what} of {total} maps; see per_image.csv")
    return lines


def _unread(record: RunRecord) -> list[str]:
    if not (unread := record.unread()):
        return []
    return [f"{unread} image{'s' * (unread > 1)} could not be read or prepared; {SKIPPED} says why"]


def doubts_of(record: RunRecord, rows: pd.DataFrame, protocols: Sequence[str] | None = None) -> list[str]:
    """Why nothing of a run is to be believed under its protocols, or some of them; each reason once."""
    found = (doubt_of(record, rows, protocol) for protocol in protocols or record.config.named_protocols)
    return [doubt for doubt in dict.fromkeys(found) if doubt]


def check_agreement(record: RunRecord, rows: pd.DataFrame) -> None:
    """Refuse rows that are fewer than were judged: a table of rows that are damaged is not to be believed."""
    summary = record.summary()
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


def unfinished(records: Sequence[RunRecord]) -> str:
    """What a title says of runs that are not finished; nothing where all are."""
    found = [str(r.path) for r in records if r.environment.finished is None]
    if found and len(records) == 1:
        return "; the run is not finished"
    return f"; not finished: {', '.join(found)}" if found else ""


def _row(record: RunRecord, protocol: str, title: str, rows: pd.DataFrame) -> tuple[Row, list[_Cell]]:
    facts, status = record.environment, rows["status"].value_counts()
    count = {kind: status[[s for s in status.index if _kind(s) == kind]] for kind in _KINDS}
    judged = rows[~rows["status"].isin(count[ERROR].index)]
    images = judged["image"].nunique()
    metrics = record.metrics
    localised = [m for m in metrics.values() if m.localised]
    hard = judged[judged["difficult"] == "1"] if localised and facts.difficult_by else None
    row: Row = {
        "backbone": record.config.backbone.model,
        "dataset": record.dataset,
        "protocol": protocol,
        VERSION: record.definitions.protocols[protocol].version,
        "method": title,
        "images": images,
        "images_total": facts.images_total,
        "constant": int(count["constant"].sum()),
        "nan": int(count["nan"].sum()),
        "errors": int(count[ERROR].sum()),
        "top1": _top1(judged, facts.num_classes),
        "classes": facts.class_source.get(protocol, ""),
    }
    if localised:
        first = localised[0].columns[0]
        row["trials"] = int(judged[first].notna().sum())
        if hard is not None:
            row |= {"trials_difficult": int(hard[first].notna().sum()), "difficult_by": facts.difficult_by}
    paper = _published(record, protocol, title)
    values = paper.values if paper else {}
    cells = []
    for name, metric in metrics.items():
        cells.append(_Cell(row, name, metric, judged, values.get(name)))
        if metric.localised and hard is not None:
            # The papers' subset is that of a file; one by rule is another.
            printed = values.get(f"{name}_difficult") if facts.difficult_by == "file" else None
            cells.append(_Cell(row, f"{name}_difficult", metric, hard, printed))
    row["published_note"] = paper.provenance if paper else ""
    return row, cells


def _kind(status: str) -> str:
    """``constant`` of ``constant; error in ...``, ``error`` of ``error: ...``."""
    return status.partition(";")[0].partition(":")[0]


def _top1(rows: pd.DataFrame, classes: int | None) -> float | None:
    """Of labels that the network has a class for; of one output, which is always the largest, there is none."""
    labelled = rows[rows["label"] != ""].drop_duplicates("image")
    if labelled.empty or classes == 1 or strange_labels(labelled, classes):
        return None
    return 100 * float((labelled["predicted"].astype(int) == labelled["label"].astype(int)).mean())


def _published(record: RunRecord, protocol: str, title: str) -> Published | None:
    """The paper's values for this very variant on the whole data set; None for any other."""
    method, c, facts = record.definitions.methods[title], record.config, record.environment
    if method.options.keys() - HARMLESS_OPTIONS or c.backbone.weights == "none" or c.backbone.layer != "auto":
        return None
    if c.backbone.factory or c.preprocess != "protocol":
        return None
    if c.classes not in (None, record.definitions.protocols[protocol].classes):
        return None
    if (c.limit is not None or c.dataset.subset) and facts.images != facts.images_total:
        return None
    return published(protocol, record.dataset).get((c.backbone.model, method.name))
