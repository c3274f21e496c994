"""Every metric on values worked out by hand."""

import pytest
import torch
from torch import tensor

from reciprocam_bench.metrics.measures.adcc import adcc
from reciprocam_bench.metrics.measures.average_drop import average_drop
from reciprocam_bench.metrics.measures.coherency import coherency
from reciprocam_bench.metrics.measures.complexity import complexity
from reciprocam_bench.metrics.measures.increase import increase


def test_average_drop_is_relative_and_never_negative():
    drop = average_drop(tensor([0.8, 0.5, 0.4]), tensor([0.2, 0.5, 0.9]))
    torch.testing.assert_close(drop, tensor([0.75, 0.0, 0.0]))


def test_average_drop_of_an_underflowed_probability_is_zero():
    assert average_drop(tensor([0.0]), tensor([0.0])).item() == 0.0


def test_increase_is_strict():
    assert increase(tensor([0.5, 0.5, 0.5]), tensor([0.6, 0.5, 0.4])).tolist() == [1.0, 0.0, 0.0]


def test_complexity_is_the_mean_of_absolute_values():
    maps = tensor([[[0.0, 1.0], [0.5, 0.5]], [[-0.2, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(complexity(maps), tensor([0.5, 0.3]))


A = [[0.0, 1.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (A, 1.0),
        ([[0.0, 0.5], [0.0, 0.5]], 1.0),  # the same up to scale
        ([[1.0, 0.0], [1.0, 0.0]], 0.0),  # the opposite
        ([[0.0, 0.0], [1.0, 1.0]], 0.5),  # uncorrelated
        ([[0.3, 0.3], [0.3, 0.3]], 0.0),  # constant: not defined
    ],
)
def test_coherency(other, expected):
    assert coherency(tensor([A]), tensor([other])).item() == pytest.approx(expected, abs=1e-6)


def test_coherency_of_a_constant_first_map_is_zero():
    assert coherency(torch.zeros(1, 2, 2), tensor([A])).item() == 0.0


def test_coherency_agrees_with_numpy_and_stays_in_bounds():
    import numpy as np

    a, b = torch.rand(5, 7, 7, generator=torch.Generator().manual_seed(0)), torch.rand(5, 7, 7)
    expected = [
        (1 + np.corrcoef(x.flatten(), y.flatten())[0, 1]) / 2 for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    np.testing.assert_allclose(coherency(a, b).numpy(), expected, atol=1e-6)
    assert coherency(a, 3 * a).max() <= 1.0


def test_adcc_is_the_harmonic_mean():
    # 3 / (1/0.8 + 1/0.5 + 1/0.4) = 3 / 5.75
    assert adcc(tensor(0.6), tensor(0.8), tensor(0.5)).item() == pytest.approx(3 / 5.75)


@pytest.mark.parametrize("parts", [(1.0, 0.8, 0.5), (0.6, 0.0, 0.5), (0.6, 0.8, 1.0)])
def test_adcc_with_a_zero_term_is_zero(parts):
    assert adcc(*map(tensor, parts)).item() == 0.0
