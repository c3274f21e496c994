"""ARCC: coherency, complexity and ROAD in one number."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.registry import metric
from reciprocam_bench.metrics.road_scores import Road

_SHARES = (0.2, 0.4, 0.6, 0.8)


@metric("arcc", title="ARCC", higher_is_better=True, forwards=2 * len(_SHARES))
def arcc(coherency: Tensor, complexity: Tensor, road: Road) -> Tensor:
    """``3 / (1/coherency + 1/(1 - complexity) + 1/R)`` (arXiv 2605.14641; as in pytorch-grad-cam), ``(N,)`` in [0, 1].

    R is ``LeRF - MoRF`` of ROAD at 20, 40, 60 and 80 %, cut to [0, 1]; 1e-8 beside each denominator. Per image: the
    data set value is the mean.

    Pitfall: its data set value is a mean of per-image values, unlike that of ADCC: the two do not compare.
    """
    least, most = (road(first, _SHARES) for first in ("least", "most"))
    terms = torch.stack([coherency, 1 - complexity, (least - most).clamp(0, 1)])
    return 3 / (1 / (terms + 1e-8)).sum(0)
