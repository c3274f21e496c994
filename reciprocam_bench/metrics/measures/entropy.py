"""Entropy: over how much of the picture a map spreads."""

import math

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("entropy", higher_is_better=False)
def entropy(explanation: Tensor) -> Tensor:
    """``- sum p ln p / ln n``, p the map's share on each of its n pixels (Bhatt et al. 2020), ``(N,)`` in [0, 1].

    Divided by its largest value, that of an even map; a map that marks nothing counts as one.

    Pitfall: it knows nothing of the network; a single bright pixel anywhere is perfect.
    """
    values = explanation.abs().flatten(1)
    total, count = values.sum(1, keepdim=True), values.shape[1]
    share = (values / total).where(total > 0, values.new_tensor(1 / count))
    return -share.xlogy(share).sum(1) / math.log(count)
