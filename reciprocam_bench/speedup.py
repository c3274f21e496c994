"""How many times faster: ratios of calls of the same round, and how sure they are."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_RESAMPLES = 2000


def speedup(reference: np.ndarray, other: np.ndarray, block: np.ndarray) -> tuple[float, float | None, float | None]:
    """How many times faster ``other`` is than ``reference``, and the 95 % interval.

    Rounds of one block share what slows or speeds them alike (where the network lies in memory, a neighbour on the
    machine), so blocks are what is resampled, as in the method of batch means. A block's value is the median of its
    rounds' ratios; the estimate is the geometric mean of the blocks' values. The interval is the percentile bootstrap's
    over blocks, on logarithms, widened for their number by ``t_(K-1) / z * sqrt(K / (K-1))`` (Hesterberg 2015, What
    Teachers Should Know About the Bootstrap, section 5.3): over few blocks a plain percentile interval is too narrow.

    Args:
        reference: time of the reference in each round, ``(R,)``.
        other: time of the other in the same rounds, ``(R,)``.
        block: the block of each round, ``(R,)``.

    Returns:
        The ratio and the interval's ends; of one block there is no interval.
    """
    ratios = np.log(np.asarray(reference, dtype=float) / np.asarray(other, dtype=float))
    block = np.asarray(block)
    values = np.array([np.median(ratios[block == one]) for one in np.unique(block)])
    centre, count = float(values.mean()), len(values)
    if count < 2:
        return float(np.exp(centre)), None, None
    drawn = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    wider = _widening(count)
    return (
        float(np.exp(centre)),
        float(np.exp(centre - wider * (centre - low))),
        float(np.exp(centre + wider * (high - centre))),
    )


def speedup_of_calls(
    reference: "pd.DataFrame", other: "pd.DataFrame"
) -> tuple[float, float | None, float | None] | None:
    """`speedup` of rows of ``timing_rounds.csv``, over the rounds that both have; None where there are none."""
    both = other.merge(reference, on=["process", "block", "round"], suffixes=("", "_over"))
    if both.empty:
        return None
    return speedup(*(both[name].to_numpy() for name in ("wall_ms_over", "wall_ms", "block")))


def _widening(blocks: int) -> float:
    from scipy.stats import norm, t  # readers that ask for no ratio do not pay for SciPy

    return float(t.ppf(0.975, blocks - 1) / norm.ppf(0.975) * np.sqrt(blocks / (blocks - 1)))
