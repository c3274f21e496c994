"""Ratios of rounds: hand-made ones, and intervals that hold the truth as often as they say."""

import numpy as np
import pytest

from reciprocam_bench.speedup import speedup


def test_it_is_the_ratio_of_the_same_round() -> None:
    # The ratio of the medians would be 30.
    ratio, low, high = speedup(np.array([10, 40, 30]), np.array([1, 2, 1]), np.array([0, 0, 0]))
    assert ratio == pytest.approx(20) and low is None and high is None


def test_a_block_counts_once_however_many_rounds_it_has() -> None:
    reference, block = np.array([2, 2, 2, 2, 8.0]), np.array([0, 0, 0, 0, 1])
    assert speedup(reference, np.ones(5), block)[0] == pytest.approx(4)


def test_blocks_that_agree_leave_no_doubt() -> None:
    assert speedup(np.full(4, 3.0), np.ones(4), np.arange(4)) == pytest.approx((3, 3, 3))


def test_the_inverse_ratio_has_the_inverse_interval() -> None:
    rng = np.random.default_rng(0)
    a, b, block = rng.lognormal(1, 0.1, 20), rng.lognormal(0, 0.1, 20), np.repeat(np.arange(5), 4)
    assert speedup(a, b, block) == pytest.approx([1 / v for v in np.take(speedup(b, a, block), [0, 2, 1])], rel=0.02)


def test_two_blocks_say_little() -> None:
    _, low, high = speedup(np.array([1.0, 1.1]), np.ones(2), np.arange(2))
    assert low is not None and high is not None and low < 0.7 and high > 1.5


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "rounds"), [(3, 1), (5, 2), (10, 1), (10, 10)])
@pytest.mark.parametrize(("of_block", "tails"), [(0.05, 3), (0.02, None), (0.0, 3)])
def test_intervals_hold_the_truth(blocks: int, rounds: int, of_block: float, tails: int | None) -> None:
    """Rounds of a block that are slow or fast together, with and without the heavy tails of a busy machine."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(blocks), rounds)
    held, times = 0, 600
    for _ in range(times):
        noise = rng.standard_t(tails, len(block)) if tails else rng.normal(size=len(block))
        ratios = 3 * np.exp(of_block * rng.normal(size=blocks)[block] + 0.05 * noise)
        _, low, high = speedup(ratios, np.ones(len(block)), block)
        assert low is not None and high is not None
        held += low <= 3 <= high
    assert 0.915 < held / times < 0.985
