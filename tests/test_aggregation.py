"""How the means of columns and categories become one value, by hand."""

import numpy as np
import pytest

from reciprocam_bench.aggregation import AGGREGATIONS, column_of, term_of

NAN = float("nan")


@pytest.mark.parametrize(
    "name, means, value",
    [
        ("mean", [[0.25]], 0.25),
        ("mean-of-classes", [[0.2], [0.6]], 0.4),
        ("mean-of-classes", [[0.2], [NAN]], 0.2),
        ("best-threshold", [[0.1, 0.7, 0.3]], 0.7),
        ("mean-of-three-best-thresholds", [[0.1, 0.7, 0.3, 0.2, 0.0, 0.3]], (0.7 + 0.3 + 0.3) / 3),
        ("area-under-curve", [[0.2, 0.6, 1.0]], 0.6),
        ("area-under-curve", [[1.0, 0.0, 0.0, 0.0, 0.0]], 0.125),
        ("harmonic-mean", [[0.5, 0.25]], 2 / (2 + 4)),
        ("harmonic-mean", [[0.5, 0.0, 0.9]], 0.0),
        ("harmonic-mean", [[0.5, -0.1, 0.9]], 0.0),
    ],
)
def test_values_of_a_resample(name: str, means: list, value: float) -> None:
    found = AGGREGATIONS[name](np.array([means, means]))
    assert found.shape == (2,) and found.tolist() == pytest.approx([value, value])


def test_every_aggregation_says_what_it_does() -> None:
    assert all(function.__doc__ for function in AGGREGATIONS.values())


def test_terms() -> None:
    assert [column_of(t) for t in ("complexity", "1 - complexity")] == ["complexity"] * 2
    assert term_of("complexity", np.array([0.25])) == 0.25 and term_of("1 - complexity", np.array([0.25])) == 0.75
