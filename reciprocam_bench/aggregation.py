"""How per-image values become one value of a data set: named functions on arrays, for decorators and for readers."""

from collections.abc import Callable

import numpy as np

# Means of each resample, (B, categories, columns), to values (B,). A category that a resample does not hold is NaN.
Aggregation = Callable[[np.ndarray], np.ndarray]


def mean(means: np.ndarray) -> np.ndarray:
    """The mean over all trials; there is one category."""
    return means[:, 0, 0]


def mean_of_classes(means: np.ndarray) -> np.ndarray:
    """The mean over categories of each category's mean, as accuracies of pointing games are."""
    return np.nanmean(means[:, :, 0], axis=1)


def best_threshold(means: np.ndarray) -> np.ndarray:
    """The best of the means at several thresholds, which are the columns."""
    return means[:, 0, :].max(axis=1)


def mean_of_three_best_thresholds(means: np.ndarray) -> np.ndarray:
    """The mean of the best of the first, the second and the third third of the columns."""
    return means[:, 0, :].reshape(len(means), 3, -1).max(axis=2).mean(axis=1)


def area_under_curve(means: np.ndarray) -> np.ndarray:
    """The area under the mean curve, by trapezia; the columns are its values at equal steps from 0 to 1."""
    curve = means[:, 0, :]
    return (curve[:, 1:] + curve[:, :-1]).sum(axis=1) / (2 * (curve.shape[1] - 1))


def harmonic_mean(means: np.ndarray) -> np.ndarray:
    """The harmonic mean of the means of several terms, which are the columns; 0 where a term is not positive."""
    terms = means[:, 0, :]
    positive = np.all(terms > 0, axis=1)
    inverse = (1 / np.where(np.expand_dims(positive, 1), terms, 1.0)).sum(axis=1)
    return np.where(positive, terms.shape[1] / inverse, 0.0)


CURVE = "area-under-curve"
AGGREGATIONS: dict[str, Aggregation] = {
    "mean": mean,
    "mean-of-classes": mean_of_classes,
    "best-threshold": best_threshold,
    "mean-of-three-best-thresholds": mean_of_three_best_thresholds,
    CURVE: area_under_curve,
    "harmonic-mean": harmonic_mean,
}

# Those whose metrics have several values a trial.
OF_THRESHOLDS = ("best-threshold", "mean-of-three-best-thresholds", CURVE)
_COMPLEMENT = "1 - "


def column_of(term: str) -> str:
    """The metric that a term is made of: ``complexity`` of ``1 - complexity``."""
    return term.removeprefix(_COMPLEMENT)


def term_of(term: str, values: np.ndarray) -> np.ndarray:
    """A term's values from those of its metric."""
    return 1 - values if term.startswith(_COMPLEMENT) else values
