"""Differences of two methods on the same trials: interval, p-value, and what many tests make of it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reciprocam_bench.reporting.estimate import Sample, resample

# Holm multiplies the smallest p-value by the number of tests: it must be able to reach 0.025 after that.
_FEWEST_SWAPS, _SWAPS_A_TEST, _AT_ONCE = 10_000, 40, 2_000
_BUNDLES = 2_000
# Values are float32 with seven digits: data set values that are closer are equal, but for rounding. Of values that are
# small themselves, as a thousandth, so much of their size.
_EQUAL = 1e-6

Pair = tuple[Sample, Sample]


@dataclass(frozen=True)
class Difference:
    """Data set values of two methods, their difference (first less second) and its 95 % interval, all in percent.

    One image has no interval, nor has what was asked for without.
    """

    images: int
    value: float
    against_value: float
    difference: float
    low: float | None
    high: float | None
    p: float


def differences(
    pairs: Sequence[Pair], seed: int = 0, tests: int | None = None, *, intervals: bool = True
) -> list[Difference]:
    """The difference of each pair; the two samples of a pair are of the same trials.

    The interval is ``d ± t s``: ``s`` is the standard deviation of the difference over the resamples of the images that
    `estimate` uses, times ``sqrt(n / (n - 1))``, and ``t`` the 97.5 % quantile of Student's distribution with ``n - 1``
    degrees of freedom, for ``n`` images. For a mean this is the paired t-interval. (Hesterberg 2015, "What teachers
    should know about the bootstrap", arXiv 1411.5279: percentile intervals are too narrow for few images.)

    The p-value is that of a permutation test: under no difference the two methods' rows of any image might as well be
    swapped. All swaps are tried where they are few, else ``max(10000, 40 tests)`` with what was observed among them.
    More than 2,000 images are swapped in 2,000 random bundles, which is as exact: a bundle has two sides as well
    (Hemerik and Goeman 2018, arXiv 1411.7565: tests by a group of swaps).

    Args:
        pairs: the samples, each the same object wherever it is the same sample.
        seed: of the random swaps.
        tests: in how many tests the p-values will stand; all pairs if left out.
        intervals: whether they are wanted; who only asks what can be told does not pay for SciPy.
    """
    found: list[Difference | None] = [None] * len(pairs)
    of_images: dict[bytes, list[int]] = defaultdict(list)
    for place, (first, _) in enumerate(pairs):
        of_images[first.images.tobytes()].append(place)
    swaps = max(_FEWEST_SWAPS, _SWAPS_A_TEST * (tests or len(pairs)))
    for places in of_images.values():
        for place, difference in zip(
            places, _of_same_images([pairs[p] for p in places], swaps, seed, intervals), strict=True
        ):
            found[place] = difference
    return [f for f in found if f is not None]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for all tests made: the chance of a single false finding stays below a level they are held to.

    Holm 1979: the smallest times the number of tests, the next times one less, and none below the one before it.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted


def _of_same_images(pairs: Sequence[Pair], swaps: int, seed: int, intervals: bool) -> Iterator[Difference]:
    samples = list({id(s): s for pair in pairs for s in pair}.values())
    place = {id(s): i for i, s in enumerate(samples)}
    values, resampled = resample(samples)
    images = len(samples[0].images)
    factor = _factor(images) if intervals and images > 1 else None
    p_values = _p_values(pairs, samples, swaps, seed)
    for (a, b), p in zip(pairs, p_values, strict=True):
        i, j = place[id(a)], place[id(b)]
        difference = float(values[i] - values[j])
        half = None if factor is None else factor * float(np.std(resampled[i] - resampled[j]))
        low, high = (None, None) if half is None else (difference - half, difference + half)
        yield Difference(images, float(values[i]), float(values[j]), difference, low, high, p)


def _factor(images: int) -> float:
    """From a standard deviation over resamples to half an interval."""
    from scipy.special import stdtrit  # here, as the reports that need no such quantile load no scipy

    return float(stdtrit(images - 1, 0.975)) * (images / (images - 1)) ** 0.5


def _p_values(pairs: Sequence[Pair], samples: Sequence[Sample], swaps: int, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    # Swapping an image moves its shares from one method to the other; one product for all samples gives their sums.
    shares = [s.shares() for s in samples]
    bundles = _bundled(np.concatenate(shares, axis=1), rng)
    cuts = np.cumsum([s.shape[1] for s in shares])[:-1]
    totals = np.split(bundles.sum(axis=0, keepdims=True), cuts, axis=1)
    place = {id(s): i for i, s in enumerate(samples)}
    exact = 2 ** len(bundles) <= swaps
    extreme = [0 if exact else 1] * len(pairs)
    slack = [_EQUAL * min(1.0, float(np.abs(np.concatenate([a.values, b.values])).mean())) for a, b in pairs]
    for chosen in _subsets(len(bundles)) if exact else _coins(len(bundles), swaps - 1, rng):
        moved = np.split(chosen.astype(np.float64) @ bundles, cuts, axis=1)
        for test, (a, b) in enumerate(pairs):
            i, j = place[id(a)], place[id(b)]
            step = moved[j] - moved[i]
            observed = abs(_gap(a, totals[i], totals[j]))
            found = abs(_gap(a, totals[i] + step, totals[j] - step))
            extreme[test] += int(np.count_nonzero(found >= observed - slack[test]))
    return [count / (2 ** len(bundles) if exact else swaps) for count in extreme]


def _gap(sample: Sample, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differences of the data set values that means of columns, ``(B, columns)``, make."""
    return sample.aggregation(first[:, None]) - sample.aggregation(second[:, None])


def _bundled(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shares of the images, ``(images, columns)``, summed in at most 2,000 random bundles."""
    if len(shares) <= _BUNDLES:
        return shares
    starts = np.linspace(0, len(shares), _BUNDLES, endpoint=False, dtype=int)
    return np.add.reduceat(shares[rng.permutation(len(shares))], starts, axis=0)


def _subsets(count: int) -> Iterator[np.ndarray]:
    """Every subset of a few, ``(subsets, count)`` of 0 and 1."""
    yield (np.arange(2**count)[:, None] >> np.arange(count)) & 1


def _coins(count: int, subsets: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random subsets, each member in or out by a coin: ``(at most 2,000, count)`` of 0 and 1 at a time."""
    for start in range(0, subsets, _AT_ONCE):
        size = (min(_AT_ONCE, subsets - start), -(-count // 8))
        yield np.unpackbits(rng.integers(0, 256, size, dtype=np.uint8), axis=1, count=count)
