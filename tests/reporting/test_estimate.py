"""Data set values and intervals on rows small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from reciprocam_bench.config import NamedConfig
from reciprocam_bench.engine.experiment import definition_of
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.reporting.estimate import Value, estimate, sample_of


def _estimate(name: str, rows: pd.DataFrame) -> Value:
    """The one metric's value and interval."""
    metrics = make_metrics([NamedConfig.model_validate({"name": name})])
    definitions = {column: definition_of(metric) for column, metric in metrics.items()}
    numbered = rows.assign(image=pd.factorize(rows["image"])[0])
    return estimate([sample_of(definitions[name], numbered, definitions)])[0]


def _rows(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"image": [f"i{k}" for k in range(n)], "category": [""] * n} | columns)


def test_a_mean_in_percent_with_an_interval_around_it():
    value, low, high = _estimate("increase", _rows(increase=[0.0, 1.0, 1.0, 0.0] * 25))
    assert value == 50.0
    assert 38 < low < 44 and 56 < high < 62  # 50 plus or minus 1.96 * 5


def test_adcc_is_made_of_means():
    rows = _rows(average_drop=[0.2, 0.6], coherency=[1.0, 0.6], complexity=[0.5, 0.5], adcc=[9.0, 9.0])
    assert _estimate("adcc", rows)[0] == pytest.approx(100 * 3 / (1 / 0.8 + 1 / 0.5 + 1 / 0.6))


def test_pointing_is_the_mean_of_class_accuracies():
    rows = pd.DataFrame(
        {
            "image": ["a", "b", "c", "d", "a"],
            "category": ["dog", "dog", "dog", "cat", "cat"],
            "pointing_game": [1.0, 1.0, 0.0, 0.0, np.nan],
        }
    )
    assert _estimate("pointing_game", rows)[0] == pytest.approx(100 * (2 / 3 + 0) / 2)


def test_trials_of_one_image_are_resampled_together():
    # Ten images of ten equal trials each hold no more than ten independent values.
    image = [f"i{k}" for k in range(10) for _ in range(10)]
    clustered = pd.DataFrame({"image": image, "category": "", "increase": [float(k < 50) for k in range(100)]})
    alone = clustered.assign(image=[f"i{k}" for k in range(100)])
    wide, narrow = (np.diff(_estimate("increase", r)[1:])[0] for r in (clustered, alone))
    assert wide > 2 * narrow


def test_best_threshold_takes_the_best_mean():
    columns = make_metrics([NamedConfig.model_validate({"name": "box_accuracy"})])["box_accuracy"].columns
    rows = _rows(**{column: [0.0, 0.0] for column in columns}).assign(**{"box_accuracy@0.30": [1.0, 0.0]})
    assert _estimate("box_accuracy", rows)[0] == 50.0


def test_one_image_has_a_value_and_no_interval_and_none_has_neither():
    assert _estimate("increase", _rows(increase=[1.0])) == (100.0, None, None)
    assert _estimate("increase", _rows(increase=[np.nan])) == (None, None, None)


def test_samples_of_the_same_images_share_their_resamples_and_others_do_not_change_them():
    metrics = make_metrics([NamedConfig.model_validate({"name": n}) for n in ("increase", "complexity")])
    definitions = {column: definition_of(metric) for column, metric in metrics.items()}
    generator = np.random.default_rng(0)
    rows = _rows(increase=generator.random(60), complexity=generator.random(60)).assign(image=range(60))
    some = rows.assign(complexity=rows["complexity"].where(rows["image"] < 40))
    alone = [estimate([sample_of(definitions[n], r, definitions)])[0] for n in definitions for r in (rows, some)]
    together = estimate([sample_of(definitions[n], r, definitions) for n in definitions for r in (rows, some)])
    assert together == [pytest.approx(value) for value in alone]


def test_many_images_get_the_interval_of_the_normal_distribution():
    rows = _rows(increase=np.random.default_rng(1).random(6000))
    value, low, high = _estimate("increase", rows)
    half = 1.96 * 100 * rows["increase"].std() / np.sqrt(6000)
    assert (low, high) == (pytest.approx(value - half, abs=0.08), pytest.approx(value + half, abs=0.08))
