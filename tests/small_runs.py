"""Run folders written by hand: what compare and check read, without a run."""

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


def calls(times: Mapping[str, np.ndarray], scope: str = "end-to-end", size: int = 1, blocks: int = 10) -> pd.DataFrame:
    """Measured calls of each method, milliseconds by round, and of the network alone under the name ``forward``."""
    tables = []
    for method, wall in times.items():
        count = len(wall)
        cells = {"method": method, "scope": "forward" if method == "forward" else scope, "batch_size": size}
        cells |= {"process": 0, "block": np.arange(count) * blocks // count, "round": np.arange(count)}
        tables.append(pd.DataFrame({**cells, "wall_ms": wall, "device_ms": np.nan}))
    return pd.concat(tables, ignore_index=True)


def time(path: Path, rounds: pd.DataFrame, relative_to: str = "", failed: Mapping[str, str] | None = None) -> Path:
    """Put timing.csv and timing_rounds.csv of these calls into a run folder; ``failed`` methods have a status alone."""
    rounds.to_csv(path / "timing_rounds.csv", index=False)
    table = [
        {"method": method, "scope": scope, "batch_size": size, "status": "ok", "median_ms": group["wall_ms"].median()}
        for (method, scope, size), group in rounds.groupby(["method", "scope", "batch_size"], sort=False)
    ]
    for method, reason in (failed or {}).items():
        table.append({"method": method, "scope": "end-to-end", "batch_size": 1, "status": f"error: {reason}"})
    needed = ["repeats", "q25_ms", "q75_ms", "device_median_ms", "images_per_s", "peak_memory_mb"]
    needed += ["speedup", "speedup_low", "speedup_high"]
    fixed = {"backbone": "torchvision/resnet18", "implementation": "", "relative_to": relative_to}
    pd.DataFrame(table).assign(**fixed, **dict.fromkeys(needed)).to_csv(path / "timing.csv", index=False)
    return path
