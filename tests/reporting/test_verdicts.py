"""The rules of the four words, on numbers."""

import pytest

from reciprocam_bench.reporting.paired import Difference
from reciprocam_bench.reporting.verdicts import inside, of_all, of_difference, of_rival, of_speedup


def difference(low: float | None, high: float | None, images: int = 9) -> Difference:
    middle = 1.0 if low is None or high is None else (low + high) / 2
    return Difference(images, 50 + middle, 50, middle, low, high, 0.01)


@pytest.mark.parametrize(
    ("low", "high", "up", "word"),
    [
        (0.1, 2.0, True, "holds"),
        (-2.0, -0.1, True, "does not hold"),
        (-0.1, 2.0, True, "cannot be told"),
        (0.0, 0.0, True, "cannot be told"),  # the same map
        (0.1, 2.0, False, "does not hold"),
        (-2.0, -0.1, False, "holds"),
        (None, None, True, "cannot be told"),  # one image
    ],
)
def test_a_difference_is_told_by_its_interval(low: float | None, high: float | None, up: bool, word: str) -> None:
    assert of_difference(difference(low, high), up) == word


def test_what_has_no_pair_was_not_measured() -> None:
    assert of_difference(None, True) == of_rival(None, None, True) == "not measured"


def test_a_rival_is_told_by_the_adjusted_p_value_and_not_by_the_interval() -> None:
    assert of_rival(difference(0.1, 2.0), 0.05, True) == "holds"
    assert of_rival(difference(0.1, 2.0), 0.051, True) == "cannot be told"
    assert of_rival(difference(0.1, 2.0), 0.05, False) == "does not hold"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (148.0, 170.0, "holds"),
        (100.0, 147.9, "does not hold"),
        (140.0, 150.0, "cannot be told"),
        (None, None, "cannot be told"),
    ],
)
def test_a_speed_up_is_told_by_its_interval(low: float | None, high: float | None, word: str) -> None:
    assert of_speedup(low, high, 148) == word


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "cannot be told"], "cannot be told"),
        (["not measured", "cannot be told"], "not measured"),
        (["not measured", "does not hold"], "does not hold"),
        ([], "not measured"),
    ],
)
def test_what_holds_of_all_holds_of_each(words: list[str], whole: str) -> None:
    assert of_all(words) == whole


def test_inside_says_nothing_without_an_interval() -> None:
    assert [inside(1.0, 0.5, 1.0), inside(1.1, 0.5, 1.0), inside(1.0, None, None)] == ["yes", "no", ""]


def test_a_few_images_that_differ_alike_tell_nothing_yet() -> None:
    assert of_difference(Difference(4, 100, 0, 100, 100, 100, 0.125), True) == "cannot be told"
    assert of_difference(Difference(9, 100, 0, 100, 100, 100, 0.004), True) == "holds"
    # The same of values that are no round numbers.
    two = Difference(2, 40, 30, 9.999999999999996, 9.999999999999952, 10.00000000000004, 0.5)
    assert of_difference(two, True) == of_difference(two, False) == "cannot be told"
