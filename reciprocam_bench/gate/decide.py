"""The rules of the gate."""

import math
from dataclasses import dataclass

HOLDS, BETTER, WORSE, UNTOLD = "holds", "better", "worse", "cannot be told"

# Differences of equal values in percent, but for rounding.
_EQUAL = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; a ratio of a single block of rounds has none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Change:
    """What became of a number, with the change's 95 % interval, and the verdict."""

    value: float
    low: float | None
    high: float | None
    verdict: str


def change_of_ratio(before: Estimate, now: Estimate, tolerance: float, floor: float) -> Change:
    """The factor by which a speed-up changed: 0.8 is a loss of 20 %.

    Both speed-ups are uncertain, and were measured apart: on logarithms the half widths of their intervals add up as
    squares. A loss is ``worse`` where its whole interval lies beyond the tolerance and the loss itself exceeds the
    floor; a gain as large is ``better``. What may be a loss beyond the floor and may not cannot be told; all else
    holds.
    """
    change = math.log(now.value / before.value)
    if None in (before.low, before.high, now.low, now.high):
        return Change(math.exp(change), None, None, UNTOLD)
    low = change - math.hypot(_log(now.value, now.low), _log(before.high, before.value))
    high = change + math.hypot(_log(now.high, now.value), _log(before.value, before.low))
    tolerated, least = math.log(1 - tolerance), math.log(1 - floor)
    if high < tolerated and change < least:
        verdict = WORSE
    elif low > -tolerated and change > -least:
        verdict = BETTER
    else:
        verdict = HOLDS if low >= least else UNTOLD
    return Change(math.exp(change), math.exp(low), math.exp(high), verdict)


def change_of_value(difference: Estimate, higher_is_better: bool | None, tolerance: float) -> Change:
    """The change of a metric, in percentage points: ``worse`` where the loss is larger than the tolerance.

    A metric of unknown direction fails in both. The interval says how far other images would differ; these are the
    same, on which any difference is the code's, so it decides nothing.
    """
    gain = difference.value if higher_is_better else -difference.value
    if higher_is_better is None:
        gain = -abs(difference.value)
    verdict = WORSE if gain < -tolerance - _EQUAL else BETTER if gain > tolerance + _EQUAL else HOLDS
    return Change(difference.value, difference.low, difference.high, verdict)


def _log(above: float | None, below: float | None) -> float:
    return math.log(above / below) if above and below else math.inf
