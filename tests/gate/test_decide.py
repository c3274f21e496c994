"""The rules of the gate on numbers whose answer is known."""

import math

import pytest

from reciprocam_bench.gate.decide import BETTER, HOLDS, UNTOLD, WORSE, Estimate, change_of_ratio, change_of_value


def around(value: float, share: float) -> Estimate:
    return Estimate(value, value / (1 + share), value * (1 + share))


@pytest.mark.parametrize(
    ("now", "width", "verdict"),
    [
        (100.0, 0.02, HOLDS),
        (97.0, 0.02, HOLDS),
        (80.0, 0.02, WORSE),
        (89.0, 0.02, WORSE),  # the interval ends at 91.6
        (91.0, 0.02, UNTOLD),  # below the tolerance for sure, but not the floor
        (95.0, 0.02, HOLDS),  # at least 92.3
        (80.0, 0.20, UNTOLD),  # may be 100
        (100.0, 0.20, UNTOLD),  # may be 78
        (125.0, 0.02, BETTER),
        (108.0, 0.02, HOLDS),  # a gain that is none yet
    ],
)
def test_a_loss_fails_where_its_interval_lies_beyond_the_tolerance_and_itself_beyond_the_floor(
    now: float, width: float, verdict: str
) -> None:
    change = change_of_ratio(around(100.0, width), around(now, width), tolerance=0.05, floor=0.10)
    assert change.value == pytest.approx(now / 100) and change.verdict == verdict


def test_intervals_of_both_add_up_as_squares() -> None:
    change = change_of_ratio(around(50.0, 0.03), around(40.0, 0.04), 0.05, 0.1)
    half = math.hypot(math.log(1.03), math.log(1.04))
    assert change.low == pytest.approx(0.8 * math.exp(-half)) and change.high == pytest.approx(0.8 * math.exp(half))


def test_sides_of_an_uneven_interval_go_where_they_belong() -> None:
    # The ratio before may have been 30 % more and hardly less: the loss may be larger, and hardly smaller.
    change = change_of_ratio(Estimate(10, 9.99, 13), Estimate(10, 9.99, 10.01), 0.05, 0.1)
    assert change.low == pytest.approx(10 / 13, rel=1e-3) and change.high == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("without", [(None, 1.1), (0.9, None), (None, None)])
def test_without_an_interval_nothing_can_be_told(without: tuple[float | None, float | None]) -> None:
    assert change_of_ratio(around(1, 0.01), Estimate(0.2, *without), 0.05, 0.1).verdict == UNTOLD
    assert change_of_ratio(Estimate(1, *without), around(0.2, 0.01), 0.05, 0.1).verdict == UNTOLD


@pytest.mark.parametrize(
    ("difference", "higher_is_better", "verdict"),
    [
        (-0.6, True, WORSE),
        (0.6, True, BETTER),
        (0.6, False, WORSE),
        (-0.6, False, BETTER),
        (0.6, None, WORSE),
        (-0.6, None, WORSE),
        (-0.5, True, HOLDS),  # as much as is tolerated
        (0.4, None, HOLDS),
    ],
)
def test_a_metric_fails_where_it_lost_more_than_the_tolerance(
    difference: float, higher_is_better: bool | None, verdict: str
) -> None:
    # However wide the interval: these are the images of the baseline.
    change = change_of_value(Estimate(difference, difference - 5, difference + 5), higher_is_better, 0.5)
    assert change.verdict == verdict and (change.low, change.high) == (difference - 5, difference + 5)
