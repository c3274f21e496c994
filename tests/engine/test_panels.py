"""Words and marks of panels."""

import numpy as np
import pytest

from reciprocam_bench.engine.panels import peak_of, time_in_words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "< 1 ms"), (0.0124, "12 ms"), (0.4567, "457 ms"), (3.21, "3.2 s"), (250.4, "250 s")],
)
def test_a_time_has_the_digits_that_one_call_is_worth(seconds: float, text: str) -> None:
    assert time_in_words(seconds) == text


def test_the_peak_is_the_centre_of_the_first_pixel_that_is_largest() -> None:
    heat = np.zeros((3, 4))
    heat[1, 2] = heat[2, 0] = 1
    assert peak_of(heat) == (2.5, 1.5)
    assert peak_of(np.ones((3, 4))) is None and peak_of(np.full((3, 4), np.nan)) is None
