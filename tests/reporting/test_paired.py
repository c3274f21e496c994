"""Paired differences: against hand-made enumerations, scipy, and each other."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from scipy import stats

from reciprocam_bench.aggregation import AGGREGATIONS
from reciprocam_bench.reporting.estimate import Sample
from reciprocam_bench.reporting.paired import differences, holm


def sample(
    values: object, image: Sequence[int] = (), category: Sequence[int] = (), aggregation: str = "mean"
) -> Sample:
    """Values (T, columns), by default of one trial an image."""
    table = np.array(values, dtype=float).reshape(len(values), -1)  # type: ignore[arg-type]
    images, place = np.unique(image if len(image) else np.arange(len(table)), return_inverse=True)
    kinds = np.array(category) if len(category) else np.zeros(len(table), dtype=int)
    return Sample(images, place, kinds, table, AGGREGATIONS[aggregation])


def enumerated(a: Sample, b: Sample, value: Callable[[Sample, np.ndarray], float]) -> float:
    """The p-value of all swaps of whole images, by a loop."""
    gaps = []
    for swap in product([False, True], repeat=len(a.images)):
        chosen = np.array(swap)[a.image][:, None]
        gaps.append(value(a, np.where(chosen, b.values, a.values)) - value(b, np.where(chosen, a.values, b.values)))
    return float(np.mean(np.abs(gaps) >= abs(gaps[0]) - 1e-9))


def mean(s: Sample, values: np.ndarray) -> float:
    return float(values[:, 0].mean())


def of_classes(s: Sample, values: np.ndarray) -> float:
    return float(np.mean([values[s.category == c, 0].mean() for c in np.unique(s.category)]))


def best(s: Sample, values: np.ndarray) -> float:
    return float(values.mean(axis=0).max())


def harmonic(s: Sample, values: np.ndarray) -> float:
    return float(stats.hmean(values.mean(axis=0)))


def test_a_difference_by_hand() -> None:
    found = differences([(sample([1, 1, 1, 0]), sample([0, 0, 1, 0]))])[0]
    assert (found.images, found.value, found.against_value, found.difference) == (4, 75.0, 25.0, 50.0)
    # Two images differ, both one way: of their four ways to stand, two are as far apart.
    assert found.p == 0.5


def test_the_interval_of_a_mean_is_the_paired_t_interval() -> None:
    rng = np.random.default_rng(0)
    for images in (8, 20, 300):
        a, b = rng.random((2, images))
        found = differences([(sample(a), sample(b))])[0]
        low, high = stats.ttest_rel(a, b).confidence_interval()
        assert found.low is not None and found.high is not None
        assert found.high - found.low == pytest.approx(100 * (high - low), rel=0.06)
        assert (found.low + found.high) / 2 == pytest.approx(100 * (a - b).mean())


@pytest.mark.parametrize(
    "aggregation, columns, value",
    [
        ("mean", 1, mean),
        ("mean-of-classes", 1, of_classes),
        ("best-threshold", 4, best),
        ("harmonic-mean", 3, harmonic),
    ],
)
def test_all_swaps_of_few_images(aggregation: str, columns: int, value: Callable) -> None:
    rng = np.random.default_rng(1)
    image, category = [0, 0, 1, 2, 2, 2, 3, 4, 5, 6], [0, 1, 0, 1, 0, 2, 2, 1, 0, 0]
    kinds = category if aggregation == "mean-of-classes" else ()
    a, b = (sample(rng.random((10, columns)) + 0.2 * k, image, kinds, aggregation) for k in (1, 0))
    found = differences([(a, b)])[0]
    assert found.difference == pytest.approx(100 * (value(a, a.values) - value(b, b.values)))
    assert found.p == pytest.approx(enumerated(a, b, value))
    assert found.p * 2**7 == int(found.p * 2**7) and found.p < 1


def test_scipy_finds_the_same_p_value_and_random_swaps_are_near_it() -> None:
    rng = np.random.default_rng(2)
    for images, near in ((10, 1e-12), (14, 0.02)):  # all swaps; 10,000 of 16,384
        a, b = rng.random(images) + 0.15, rng.random(images)
        want = stats.permutation_test(
            (a, b), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=np.inf
        )
        assert differences([(sample(a), sample(b))])[0].p == pytest.approx(want.pvalue, abs=near)


def test_bundles_of_many_images_find_what_the_t_test_finds() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 5001))
    a += b.mean() - a.mean() + 2 * np.std(a - b) / 5001**0.5
    assert differences([(sample(a), sample(b))])[0].p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)


def test_two_methods_the_other_way_round_differ_the_other_way_round() -> None:
    rng = np.random.default_rng(4)
    for aggregation, columns in (("mean", 1), ("harmonic-mean", 3), ("best-threshold", 2)):
        a, b = (sample(rng.random((30, columns)), aggregation=aggregation) for _ in range(2))
        one, other = differences([(a, b), (b, a)])
        assert one.low is not None and other.high is not None
        assert (one.difference, one.low, one.p) == pytest.approx((-other.difference, -other.high, other.p))


def test_a_pair_is_the_same_alone_and_among_others_of_other_images() -> None:
    rng = np.random.default_rng(5)
    pairs = [(sample(rng.random(n)), sample(rng.random(n))) for n in (20, 20, 30)]
    together = differences(pairs, tests=1)
    alone = [differences([pair])[0] for pair in pairs]
    for one, other in zip(together, alone, strict=True):
        assert one.p == other.p and one.low == pytest.approx(other.low)


def test_more_tests_have_finer_p_values() -> None:
    a, b = sample(np.ones(40)), sample(np.zeros(40))
    assert differences([(a, b)])[0].p == 1 / 10_000
    assert differences([(a, b)], tests=1000)[0].p == 1 / 40_000


def test_the_seed_is_of_the_random_swaps_alone() -> None:
    rng = np.random.default_rng(6)
    pair = sample(rng.random(40)), sample(rng.random(40))
    one, again, other = (differences([pair], seed)[0] for seed in (0, 0, 1))
    assert one == again
    assert one.p != other.p and (one.low, one.high) == (other.low, other.high)


def test_equal_methods_and_rounding_are_no_difference() -> None:
    values = np.random.default_rng(7).random(30)
    for other in (values, values + 1e-7):
        found = differences([(sample(values), sample(other))])[0]
        assert found.p == 1.0 and found.difference == pytest.approx(0, abs=1e-4)


def test_one_image_tells_nothing() -> None:
    found = differences([(sample([1]), sample([0]))])[0]
    assert (found.difference, found.low, found.high, found.p) == (100.0, None, None, 1.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2] and holm([]) == []


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-9])
def test_values_of_any_size_have_the_same_p_value(scale: float) -> None:
    rng = np.random.default_rng(0)
    first, second = (sample(scale * rng.uniform(0.4 + shift, 0.6 + shift, 12)) for shift in (0.0, 0.03))
    (found,) = differences([(first, second)])
    wanted = enumerated(sample(first.values / scale), sample(second.values / scale), mean)
    assert found.p == pytest.approx(wanted, abs=1 / 2**12)


def test_rounding_is_no_difference() -> None:
    values = np.random.default_rng(0).uniform(0.3, 0.6, 30)
    (found,) = differences([(sample(values), sample(values * (1 + 1e-8)))])
    assert found.p == 1
