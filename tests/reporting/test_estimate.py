"""Data set values and intervals on rows small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from reciprocam_bench.metrics.registry import METRICS
from reciprocam_bench.reporting.estimate import estimate


def _rows(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"image": [f"i{k}" for k in range(n)], "category": [""] * n} | columns)


def test_a_mean_in_percent_with_an_interval_around_it():
    value, low, high = estimate(METRICS.get("increase"), _rows(increase=[0.0, 1.0, 1.0, 0.0] * 25))
    assert value == 50.0
    assert 38 < low < 44 and 56 < high < 62  # 50 plus or minus 1.96 * 5


def test_adcc_is_made_of_means():
    rows = _rows(average_drop=[0.2, 0.6], coherency=[1.0, 0.6], complexity=[0.5, 0.5], adcc=[9.0, 9.0])
    assert estimate(METRICS.get("adcc"), rows)[0] == pytest.approx(100 * 3 / (1 / 0.8 + 1 / 0.5 + 1 / 0.6))


def test_pointing_is_the_mean_of_class_accuracies():
    rows = pd.DataFrame(
        {
            "image": ["a", "b", "c", "d", "a"],
            "category": ["dog", "dog", "dog", "cat", "cat"],
            "pointing_game": [1.0, 1.0, 0.0, 0.0, np.nan],
        }
    )
    assert estimate(METRICS.get("pointing_game"), rows)[0] == pytest.approx(100 * (2 / 3 + 0) / 2)


def test_trials_of_one_image_are_resampled_together():
    # Ten images of ten equal trials each hold no more than ten independent values.
    image = [f"i{k}" for k in range(10) for _ in range(10)]
    clustered = pd.DataFrame({"image": image, "category": "", "increase": [float(k < 50) for k in range(100)]})
    alone = clustered.assign(image=[f"i{k}" for k in range(100)])
    wide, narrow = (np.diff(estimate(METRICS.get("increase"), r)[1:])[0] for r in (clustered, alone))
    assert wide > 2 * narrow


def test_best_threshold_takes_the_best_mean():
    spec = METRICS.get("max_box_acc")
    rows = _rows(**{column: [0.0, 0.0] for column in spec.columns}).assign(**{"max_box_acc@0.30": [1.0, 0.0]})
    assert estimate(spec, rows)[0] == 50.0


def test_one_image_has_a_value_and_no_interval_and_none_has_neither():
    assert estimate(METRICS.get("increase"), _rows(increase=[1.0])) == (100.0, None, None)
    assert estimate(METRICS.get("increase"), _rows(increase=[np.nan])) == (None, None, None)
