"""From rows to data set values: ``summary.csv`` and ``per_class.csv``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.config import Config, parse_config, read_yaml
from reciprocam_bench.errors import UserError
from reciprocam_bench.metrics.registry import MetricSpec, make_metrics
from reciprocam_bench.protocols.protocol import Published, load_protocol, published
from reciprocam_bench.reporting.estimate import estimate

# Options that leave a method the one a paper means; with any other it is not set beside published values.
_HARMLESS_OPTIONS = {"mask", "path", "seed"}


@dataclass(frozen=True)
class RunRows:
    """A run folder, read: its config, its rows, and the facts of ``environment.json``."""

    config: Config
    rows: pd.DataFrame
    facts: dict[str, Any]
    metrics: dict[str, MetricSpec]

    @property
    def dataset(self) -> str:
        """The data set with its split, ``voc2007-test``; the config's name for it in folders without that fact."""
        return self.facts.get("dataset", self.config.dataset.name)

    def of(self, protocol: str, method: str) -> pd.DataFrame:
        """The rows of one line of the summary."""
        return self.rows[(self.rows["protocol"] == protocol) & (self.rows["method"] == method)]


def read_config(folder: Path) -> Config:
    """The config of a run folder."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no config.yaml")
    return parse_config(read_yaml(path), str(path))


def read_run(folder: Path) -> RunRows:
    """Read a run folder; one without rows is a ``UserError``."""
    config = read_config(folder)
    path = folder / "per_image.csv"
    if not path.is_file():
        raise UserError(f"{folder} has no per_image.csv yet; run it first")
    metrics = make_metrics(config.metrics)
    values = [column for spec in metrics.values() for column in spec.columns]
    text = ("protocol", "image", "category", "difficult", "label", "method", "status")
    rows = pd.read_csv(
        path,
        keep_default_na=False,
        na_values={column: ["", "nan"] for column in values},
        dtype=dict.fromkeys(text, str),
        encoding_errors="surrogateescape",
    )
    return RunRows(config, rows, _facts(folder), metrics)


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def summarise(folder: Path) -> pd.DataFrame:
    """One row per protocol and method: counts, then every metric in percent with its interval and published value.

    Intervals are 95 % bootstrap percentile intervals that resample images, with all their trials. Rows with an error
    are counted and left out of the means; constant and NaN maps are in them, judged as maps that mark nothing.
    """
    run = read_run(folder)
    table = [_row(run, p, m.title) for p in run.config.protocol for m in run.config.methods]
    return pd.DataFrame(table)


def per_class(folder: Path) -> pd.DataFrame | None:
    """One row per protocol, method and category: trials and the mean of every metric of localisation, in percent.

    None where no such metric was measured.
    """
    run = read_run(folder)
    columns = [c for spec in run.metrics.values() if spec.localised for c in spec.columns]
    if not columns:
        return None
    table = []
    for protocol in run.config.protocol:
        for method in run.config.methods:
            rows = run.of(protocol, method.title)
            rows = rows[(rows["category"] != "") & rows[columns].notna().any(axis=1)]
            for category, group in rows.groupby("category", sort=True):
                hard = group[group["difficult"] == "1"]
                fixed = {"protocol": protocol, "method": method.title, "category": category}
                counts = {"trials": len(group), "trials_difficult": len(hard)}
                means = {c: 100 * group[c].mean() for c in columns}
                means |= {f"{c}_difficult": 100 * hard[c].mean() for c in columns if "@" not in c}
                table.append({**fixed, **counts, **means})
    return pd.DataFrame(table)


def _row(run: RunRows, protocol: str, title: str) -> dict[str, Any]:
    rows = run.of(protocol, title)
    status = rows["status"]
    errors = status.str.startswith("error")
    judged = rows[~errors]
    row: dict[str, Any] = {
        "backbone": run.config.backbone.model,
        "dataset": run.dataset,
        "protocol": protocol,
        "method": title,
        "images": judged["image"].nunique(),
        "constant": int((status == "constant").sum()),
        "nan": int((status == "nan").sum()),
        "errors": int(errors.sum()),
        "top1": _top1(judged),
        "classes": run.facts.get("class_source", {}).get(protocol, ""),
    }
    localised = [spec for spec in run.metrics.values() if spec.localised]
    hard = judged[judged["difficult"] == "1"] if localised and run.facts.get("difficult_by") else None
    if localised:
        first = localised[0].columns[0]
        row["trials"] = int(judged[first].notna().sum())
        if hard is not None:
            row |= {"trials_difficult": int(hard[first].notna().sum()), "difficult_by": run.facts["difficult_by"]}
    paper = _published(run, protocol, title)
    for name, spec in run.metrics.items():
        row |= _values(spec, name, judged, paper)
        if spec.localised and hard is not None:
            row |= _values(spec, f"{name}_difficult", hard, paper)
    return row | {"published_note": paper.provenance if paper else ""}


def _values(spec: MetricSpec, name: str, rows: pd.DataFrame, paper: Published | None) -> dict[str, float | None]:
    value, low, high = estimate(spec, rows)
    published_value = paper.values.get(name) if paper else None
    row = {name: value, f"{name}_low": low, f"{name}_high": high}
    if spec.summary == "of-means":
        row[f"{name}_mean"] = 100 * float(rows[name].mean()) if len(rows) else None
    return row | {f"{name}_published": published_value}


def _top1(rows: pd.DataFrame) -> float | None:
    labelled = rows[rows["label"] != ""].drop_duplicates("image")
    if labelled.empty:
        return None
    return 100 * float((labelled["predicted"].astype(int) == labelled["label"].astype(int)).mean())


def _published(run: RunRows, protocol: str, title: str) -> Published | None:
    method = next(m for m in run.config.methods if m.title == title)
    c = run.config
    if set(method.options) - _HARMLESS_OPTIONS or c.backbone.weights == "none" or c.backbone.layer != "auto":
        return None
    if c.backbone.factory or c.preprocess != "protocol" or c.classes not in (None, load_protocol(protocol).classes):
        return None
    return published(protocol, run.dataset).get((run.config.backbone.model, method.name))
