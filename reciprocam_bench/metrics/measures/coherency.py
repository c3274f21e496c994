"""Coherency: whether the explanation of the explanation is the explanation."""

from torch import Tensor

from reciprocam_bench.metrics.correlation import pearson
from reciprocam_bench.metrics.registry import metric


@metric("coherency", higher_is_better=True)
def coherency(explanation: Tensor, masked_explanation: Tensor) -> Tensor:
    """``(1 + Pearson(M(x), M(x * M(x)))) / 2`` (Poppi et al. 2021), ``(N,)`` in [0, 1].

    0 where one of the maps is constant and the correlation is not defined, as in their code.

    Pitfall: a map that is the same for every picture is perfect.
    """
    return ((1 + pearson(explanation.flatten(1), masked_explanation.flatten(1))) / 2).nan_to_num(nan=0.0)
