"""A data set value from rows, and its interval."""

import numpy as np
import pandas as pd
import torch

from reciprocam_bench.metrics.registry import MetricSpec

_RESAMPLES, _BLOCK = 2000, 100


def estimate(spec: MetricSpec, rows: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """The metric's data set value in percent and its 95 % interval; None where there is nothing to make them of.

    A cluster bootstrap: images are resampled with all their trials, because the trials of one image share the network's
    view of it (percentile interval, 2,000 resamples). Every method gets the same seed, so that methods on the same
    images are compared on the same resamples.
    """
    columns = list(spec.needs) if spec.summary == "of-means" else list(spec.columns)
    rows = rows[rows[columns].notna().all(axis=1)]
    if rows.empty:
        return None, None, None
    sums, counts = _totals(spec, rows, columns)
    images = len(sums)
    value = float(_statistic(spec, sums.sum(0, keepdims=True), counts.sum(0, keepdims=True))[0])
    if images < 2:
        return value, None, None
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(_RESAMPLES // _BLOCK):
        weights = rng.multinomial(images, np.full(images, 1 / images), size=_BLOCK)  # (block, images)
        totals = (np.tensordot(weights, x, axes=1) for x in (sums, counts))
        resampled.append(_statistic(spec, *totals))
    low, high = np.nanquantile(np.concatenate(resampled), [0.025, 0.975])
    return value, float(low), float(high)


def _totals(spec: MetricSpec, rows: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values ``(images, categories, columns)`` and numbers of trials ``(images, categories, 1)``.

    Metrics that do not tell categories apart have one.
    """
    image = pd.factorize(rows["image"])[0]
    category = (
        pd.factorize(rows["category"])[0] if spec.summary == "mean-of-classes" else np.zeros(len(rows), dtype=int)
    )
    shape = (int(image.max()) + 1, int(category.max()) + 1)
    sums, counts = np.zeros((*shape, len(columns))), np.zeros((*shape, 1))
    np.add.at(sums, (image, category), rows[columns].to_numpy(dtype=np.float64))
    np.add.at(counts, (image, category), 1.0)
    return sums, counts


def _statistic(spec: MetricSpec, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Totals of each resample ``(B, categories, columns)`` to the data set value in percent, ``(B,)``."""
    # A category that a resample does not hold has no accuracy in it.
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    if spec.summary == "of-means":
        parts = torch.from_numpy(means[:, 0])
        return 100 * spec.function(*parts.unbind(1)).numpy()
    if spec.summary == "best-threshold":
        return 100 * means[:, 0].max(axis=1)
    return 100 * np.nanmean(means[:, :, 0], axis=1)
