"""Coherency: whether the explanation of the explanation is the explanation."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("coherency", higher_is_better=True)
def coherency(explanation: Tensor, masked_explanation: Tensor) -> Tensor:
    """``(1 + Pearson(M(x), M(x * M(x)))) / 2`` (Poppi et al. 2021), ``(N,)`` in [0, 1].

    0 where one of the maps is constant and the correlation is not defined, as in their code.
    """
    a = explanation.flatten(1) - explanation.mean((1, 2))[:, None]
    b = masked_explanation.flatten(1) - masked_explanation.mean((1, 2))[:, None]
    norm = a.norm(dim=1) * b.norm(dim=1)
    constant = (_spread(explanation) == 0) | (_spread(masked_explanation) == 0) | (norm == 0)
    pearson = (a * b).sum(1) / norm.where(~constant, norm.new_tensor(1.0))
    # Rounding can push a perfect correlation past 1.
    return ((1 + pearson.clamp(-1, 1)) / 2).where(~constant, pearson.new_tensor(0.0))


def _spread(maps: Tensor) -> Tensor:
    return maps.amax((1, 2)) - maps.amin((1, 2))
