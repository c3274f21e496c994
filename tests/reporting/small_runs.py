"""Run folders written by hand: what compare reads, without a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

CONFIG: dict[str, Any] = {
    "backbone": {"model": "torchvision/resnet18", "weights": "IMAGENET1K_V1"},
    "dataset": {"name": "imagenet"},
    "protocol": ["poppi-2021"],
    "metrics": ["average_drop", "increase", "coherency", "complexity", "adcc"],
}
METRICS = {
    "average_drop": {"title": "Drop", "higher_is_better": False, "columns": ["average_drop"]},
    "increase": {"title": "Increase", "higher_is_better": True, "columns": ["increase"]},
    "coherency": {"title": "Coherency", "higher_is_better": True, "columns": ["coherency"]},
    "complexity": {"title": "Complexity", "higher_is_better": False, "columns": ["complexity"]},
    "adcc": {
        "title": "ADCC",
        "higher_is_better": True,
        "aggregation": "harmonic-mean",
        "terms": ["coherency", "1 - complexity", "1 - average_drop"],
        "columns": ["adcc"],
    },
}
PROTOCOLS = {name: {"version": 1, "classes": "predicted"} for name in ("poppi-2021", "recipro-2024")}


def values(images: int, seed: int = 0, better: float = 0.0) -> dict[str, np.ndarray]:
    """Values of every metric on each image; ``better`` moves them all towards the better side."""
    rng = np.random.default_rng(seed)
    table = {name: rng.uniform(0.3, 0.6, images) for name in METRICS}
    for name, metric in METRICS.items():
        table[name] += better if metric["higher_is_better"] else -better
    return table


def rows(
    methods: Mapping[str, Mapping[str, np.ndarray]], protocols: Sequence[str] = ("poppi-2021",), **fixed: object
) -> pd.DataFrame:
    """Rows of per_image.csv: an image a value, under each protocol."""
    tables = []
    for protocol in protocols:
        for method, table in methods.items():
            count = len(next(iter(table.values())))
            cells = {"protocol": protocol, "image": [f"{i:03d}.png" for i in range(count)], "category": ""}
            cells |= {"difficult": "", "label": "1", "predicted": "1", "class": "1", "probability": 0.5}
            tables.append(pd.DataFrame({**cells, "method": method, "status": "ok", **table, **fixed}))
    return pd.concat(tables, ignore_index=True)


def write(path: Path, table: pd.DataFrame, methods: Sequence[str] = (), **changes: Any) -> Path:
    """A finished run folder of these rows; changes are of the config, the fingerprint, the definitions, the facts."""
    path.mkdir(parents=True, exist_ok=True)
    titles = list(methods or dict.fromkeys(table["method"]))
    config = {**CONFIG, "methods": titles, **changes.pop("config", {}), "seed": 0}  # the last key tells a whole file
    metrics = {**METRICS, **changes.pop("metrics", {})}
    facts = {
        "format": 2,
        "dataset": "imagenet",
        "finished": "2026-01-01",
        "metrics": [m for m in METRICS if m in table],
        "fingerprint": {"weights": "a" * 64, "head": "", **changes.pop("fingerprint", {})},
        "definitions": {
            "protocols": {**PROTOCOLS, **changes.pop("protocols", {})},
            "methods": {title: {"name": title} for title in titles} | changes.pop("definitions", {}),
            "metrics": {name: metric for name, metric in metrics.items() if name in table},
        },
        **changes,
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (path / "environment.json").write_text(json.dumps(facts))
    table.to_csv(path / "per_image.csv", index=False)
    return path
