"""Flip equivariance: whether the map of the mirrored picture is the mirrored map."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.correlation import pearson
from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric


@metric("flip_equivariance", title="Flip", higher_is_better=True, explains=1)
def flip_equivariance(images: Tensor, raw: Tensor, explain: Ask) -> Tensor:
    """Pearson of the map and of the mirrored image's map, mirrored back, ``(N,)`` in [-1, 1].

    0 where one of them is constant. Part of what is missing to 1 is the network's, which no training made symmetric.

    Pitfall: a map that is the same for every picture, as `center`, is perfect.
    """
    mirrored = explain(images.flip(-1), torch.arange(len(images), device=images.device)).flip(-1)
    return pearson(raw.flatten(1), mirrored.flatten(1)).nan_to_num(nan=0.0)
