"""From rows to data set values: ``summary.csv``."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import bootstrap

from reciprocam_bench.config import Config, parse_config, read_yaml
from reciprocam_bench.errors import UserError
from reciprocam_bench.metrics.registry import MetricSpec, make_metrics
from reciprocam_bench.protocols.protocol import Published, published

_RESAMPLES = 2000
# Options that leave a method the one a paper means; with any other it is not set beside published values.
_HARMLESS_OPTIONS = {"mask", "path"}


def read_config(folder: Path) -> Config:
    """The config of a run folder."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no config.yaml")
    return parse_config(read_yaml(path), str(path))


def summarise(folder: Path) -> pd.DataFrame:
    """One row per protocol and method: counts, then every metric in percent with its interval and published value.

    Intervals are 95 % bootstrap percentile intervals over images. Rows with an error are counted and left out of the
    means; constant and NaN maps are in them, judged as maps that mark nothing.
    """
    config = read_config(folder)
    path = folder / "per_image.csv"
    if not path.is_file():
        raise UserError(f"{folder} has no per_image.csv yet; run it first")
    table = pd.read_csv(
        path,
        keep_default_na=False,
        na_values={m: [""] for m in make_metrics(config.metrics)},
        dtype=dict.fromkeys(("protocol", "image", "label", "method", "status"), str),
        encoding_errors="surrogateescape",
    )
    return pd.DataFrame(
        [
            _row(config, str(protocol), method.title, group)
            for protocol in config.protocol
            for method in config.methods
            for group in [table[(table["protocol"] == protocol) & (table["method"] == method.title)]]
        ]
    )


def _row(config: Config, protocol: str, title: str, group: pd.DataFrame) -> dict:
    status = group["status"]
    errors = status.str.startswith("error")
    judged = group[~errors]
    labelled = judged[judged["label"].astype(str) != ""]
    row: dict = {
        "backbone": config.backbone.model,
        "dataset": config.dataset.name,
        "protocol": protocol,
        "method": title,
        "images": len(judged),
        "constant": int((status == "constant").sum()),
        "nan": int((status == "nan").sum()),
        "errors": int(errors.sum()),
        "top1": 100 * (labelled["predicted"].astype(int) == labelled["label"].astype(int)).mean()
        if len(labelled)
        else None,
    }
    paper = _published(config, protocol, title)
    specs = make_metrics(config.metrics)
    for name, spec in specs.items():
        value, low, high = _estimate(spec, judged)
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        if spec.summary == "of-means":
            row[f"{name}_mean"] = 100 * judged[name].mean() if len(judged) else None
        row[f"{name}_published"] = paper.values.get(name) if paper else None
    return row | {"published_note": paper.provenance if paper else ""}


def _published(config: Config, protocol: str, title: str) -> Published | None:
    method = next(m for m in config.methods if m.title == title)
    if set(method.options) - _HARMLESS_OPTIONS or config.backbone.weights == "none":
        return None
    return published(protocol, config.dataset.name).get((config.backbone.model, method.name))


def _estimate(spec: MetricSpec, rows: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """The data set value in percent and its interval; None where there are too few images for one."""
    columns = spec.needs if spec.summary == "of-means" else (spec.name,)
    data = [rows[c].to_numpy(dtype=np.float64) for c in columns]

    def statistic(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        means = [torch.from_numpy(np.asarray(s.mean(axis=axis))) for s in samples]
        return 100 * (spec.function(*means) if spec.summary == "of-means" else means[0]).numpy()

    if not len(rows):
        return None, None, None
    value = float(statistic(*data))
    if len(rows) < 2:
        return value, None, None
    if all(np.ptp(d) == 0 for d in data):
        return value, value, value
    # The same seed for every method: methods are compared on the same resampled images.
    interval = bootstrap(
        data, statistic, paired=True, vectorized=True, n_resamples=_RESAMPLES, batch=100, method="percentile", rng=0
    ).confidence_interval
    return value, float(interval.low), float(interval.high)
