"""What the data say of a claim: pure rules, in four words."""

import math
from collections.abc import Sequence

from reciprocam_bench.reporting.compare import LEVEL, UNTOLD, verdict
from reciprocam_bench.reporting.paired import Difference

HOLDS, FAILS, MISSING = "holds", "does not hold", "not measured"


def of_difference(result: Difference | None, higher_is_better: bool) -> str:
    """Whether a method is better: by the paired 95 % interval, which must lie on one side of 0.

    Of a few images that all differ alike the interval has no width, which is not how sure they are: p decides.
    """
    if result is None:
        return MISSING
    if result.low is None or result.high is None:
        return UNTOLD
    if math.isclose(result.low, result.high, rel_tol=1e-6) and result.p > LEVEL:  # but for rounding
        return UNTOLD
    low, high = (result.low, result.high) if higher_is_better else (-result.high, -result.low)
    return HOLDS if low > 0 else FAILS if high < 0 else UNTOLD


def of_rival(result: Difference | None, p_holm: float | None, higher_is_better: bool) -> str:
    """Whether a method is better than one of several rivals: by the p-value, adjusted for all of them."""
    if result is None:
        return MISSING
    return {"better": HOLDS, "worse": FAILS}.get(verdict(result, p_holm, higher_is_better), UNTOLD)


def of_speedup(low: float | None, high: float | None, times: float) -> str:
    """Whether a method is at least so many times faster: by the 95 % interval of the ratio."""
    if low is None or high is None:
        return UNTOLD
    return HOLDS if low >= times else FAILS if high < times else UNTOLD


def of_all(verdicts: Sequence[str]) -> str:
    """What holds of all holds of each; one that does not hold decides, then one that was not measured."""
    return next((word for word in (FAILS, MISSING, UNTOLD) if word in verdicts), HOLDS if verdicts else MISSING)


def inside(value: float | None, low: float | None, high: float | None) -> str:
    """Whether a published value lies within our interval: ``yes``, ``no``, or nothing where there is no interval."""
    if value is None or low is None or high is None:
        return ""
    return "yes" if low <= value <= high else "no"
