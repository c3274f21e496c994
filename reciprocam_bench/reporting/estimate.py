"""Data set values from rows, and their intervals."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reciprocam_bench.aggregation import AGGREGATIONS, Aggregation, column_of, term_of
from reciprocam_bench.runfolder.schema import MetricDefinition

_RESAMPLES, _BLOCK = 2000, 100
# NumPy draws a multinomial category by category, 50,000 images in 4 ms; counting drawn images is the same and faster.
_FEW = 5000

Value = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Sample:
    """The values of one metric on the trials of one method, of which a data set value is to be made.

    Attributes:
        images: the images that have trials, ``(images,)``, sorted.
        image: each trial's place among them, ``(T,)``.
        category: each trial's category, ``(T,)``; all 0 where the metric does not tell them apart.
        values: ``(T, columns)``.
    """

    images: np.ndarray
    image: np.ndarray
    category: np.ndarray
    values: np.ndarray
    aggregation: Aggregation

    def by_image(self) -> np.ndarray:
        """Sums of the columns and the number of trials of each image, ``(images, columns + 1)``."""
        columns = [*self.values.T, np.ones(len(self.values))]
        return np.stack([np.bincount(self.image, column, len(self.images)) for column in columns], axis=1)

    def shares(self) -> np.ndarray:
        """What each image adds to the mean of each column, ``(images, columns)``: by category, then over categories.

        Their sum over images, aggregated, is the data set value: only a mean is taken over categories.
        """
        counts = np.bincount(self.category)
        weight = 1 / (counts[self.category] * len(counts))
        return np.stack([np.bincount(self.image, c * weight, len(self.images)) for c in self.values.T], axis=1)

    def of_totals(self, totals: np.ndarray) -> np.ndarray:
        """Totals of resamples, ``(B, columns + 1)``, to data set values in percent."""
        return 100 * self.aggregation((totals[:, :-1] / totals[:, -1:])[:, None])

    def of_categories(self, weights: np.ndarray) -> np.ndarray:
        """Weights of the images, ``(B, images)``, to data set values in percent, by the means of each category."""
        order = np.argsort(self.category, kind="stable")
        starts = np.searchsorted(self.category[order], np.arange(self.category.max() + 1))
        of_trial = weights[:, self.image[order]]
        counts = np.add.reduceat(of_trial, starts, axis=1)
        columns = [np.add.reduceat(of_trial * column[order], starts, axis=1) for column in self.values.T]
        # A category that a resample does not hold has no accuracy in it.
        with np.errstate(invalid="ignore"):
            return 100 * self.aggregation(np.stack([column / counts for column in columns], axis=2))


def columns_of(metric: MetricDefinition, metrics: dict[str, MetricDefinition]) -> list[str]:
    """The columns of ``per_image.csv`` that a trial must have values in to count for the metric."""
    return [metrics[column_of(term)].columns[0] for term in metric.terms] or metric.columns


def sample_of(metric: MetricDefinition, rows: pd.DataFrame, metrics: dict[str, MetricDefinition]) -> Sample | None:
    """The trials that have a value of the metric; None where none has.

    ``metrics`` are those it may be made of; the rows' images are numbers.
    """
    columns = columns_of(metric, metrics)
    rows = rows[rows[columns].notna().all(axis=1)]
    if rows.empty:
        return None
    values = rows[columns].to_numpy(dtype=np.float64)
    if metric.terms:
        values = np.stack([term_of(term, values[:, i]) for i, term in enumerate(metric.terms)], axis=1)
    images, image = np.unique(rows["image"].to_numpy(), return_inverse=True)
    by_category = metric.aggregation == "mean-of-classes"
    category = pd.factorize(rows["category"], sort=True)[0] if by_category else np.zeros(len(rows), dtype=int)
    return Sample(images, image, category, values, AGGREGATIONS[metric.aggregation])


def estimate(samples: Sequence[Sample | None]) -> list[Value]:
    """Each sample's data set value in percent and its 95 % interval; None where there is nothing to make them of.

    A cluster bootstrap: images are resampled with all their trials, because the trials of one image share the network's
    view of it (percentile interval, 2,000 resamples). Samples of the same images share the resamples, so that methods
    on the same images can be compared.
    """
    found: list[Value] = [(None, None, None)] * len(samples)
    of_images: dict[bytes, list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        if sample is not None:
            of_images[sample.images.tobytes()].append(place)
    for places in of_images.values():
        chosen = [s for p in places if (s := samples[p]) is not None]
        values, resampled = resample(chosen)
        if len(chosen[0].images) < 2:
            low = high = [None] * len(chosen)
        else:
            low, high = np.nanquantile(resampled, [0.025, 0.975], axis=1).tolist()
        for place, value in zip(places, zip(values.tolist(), low, high, strict=True), strict=True):
            found[place] = value
    return found


def resample(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Data set values in percent of samples of the same images, ``(samples,)``, and of their resamples.

    The latter are ``(samples, 2000)``; a column is one resample of the images, shared by all samples.
    """
    images = len(samples[0].images)
    plain = [s for s in samples if not s.category.any()]
    # One product for all of these: reading the weights is what it costs.
    totals = np.concatenate([s.by_image() for s in plain], axis=1) if plain else np.empty((images, 0))
    cuts = np.cumsum([s.values.shape[1] + 1 for s in plain])[:-1]

    def statistics(weights: np.ndarray) -> list[np.ndarray]:
        of_plain = iter(np.split(weights @ totals, cuts, axis=1))
        return [s.of_categories(weights) if s.category.any() else s.of_totals(next(of_plain)) for s in samples]

    values = np.concatenate(statistics(np.ones((1, images))))
    blocks = [np.stack(statistics(weights)) for weights in _resamples(images)]
    return values, np.concatenate(blocks, axis=1)


def _resamples(images: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each of 2,000 resamples, ``(block, images)`` at a time."""
    rng = np.random.default_rng(0)
    for _ in range(_RESAMPLES // _BLOCK):
        if images <= _FEW:
            yield rng.multinomial(images, np.full(images, 1 / images), size=_BLOCK).astype(np.float64)
        else:
            drawn = rng.integers(0, images, size=(_BLOCK, images), dtype=np.int32)
            yield np.stack([np.bincount(row, minlength=images) for row in drawn]).astype(np.float64)
