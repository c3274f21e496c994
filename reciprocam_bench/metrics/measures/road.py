"""ROAD: how much the network misses pixels that are replaced by what their neighbours say."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric
from reciprocam_bench.metrics.road_scores import Road

_SHARES = tuple(tenth / 10 for tenth in range(1, 10))


@metric("road_morf", title="ROAD MoRF", higher_is_better=False, forwards=len(_SHARES))
def road_morf(road: Road) -> Tensor:
    """Mean class probability as the most salient 10, 20, … 90 % of the pixels are imputed (Rong et al. 2022), ``(N,)``.

    Most relevant first, arXiv 2202.00449. Pixels are ranked, so that a plateau of equal values is never removed whole.

    Pitfall: it asks for the order of pixels alone, and a blurred map, which takes the rim along, may beat a sharp
    one.
    """
    return road("most", _SHARES)


@metric("road_lerf", title="ROAD LeRF", higher_is_better=True, forwards=len(_SHARES))
def road_lerf(road: Road) -> Tensor:
    """Mean class probability as all but the most salient 10, 20, … 90 % of the pixels are imputed, ``(N,)``.

    Least relevant first; see `road_morf`.

    Pitfall: as of `road_morf`; what shows more of the picture loses less.
    """
    return road("least", _SHARES)


@metric("road_combined", title="ROAD", higher_is_better=True)
def road_combined(road_morf: Tensor, road_lerf: Tensor) -> Tensor:
    """``(LeRF - MoRF) / 2``, as pytorch-grad-cam combines them, ``(N,)`` in [-0.5, 0.5].

    Pitfall: maps of one grain compare; a sharper one may be better and score worse.
    """
    return (road_lerf - road_morf) / 2
