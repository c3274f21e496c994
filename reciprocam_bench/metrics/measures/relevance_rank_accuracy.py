"""Relevance rank accuracy: top-k localisation with k the object's size."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("relevance_rank_accuracy", title="Rank accuracy", higher_is_better=True)
def relevance_rank_accuracy(located: Tensor, objects: Tensor) -> Tensor:
    """Share of the k highest pixels that lie on the object of k pixels (Arras et al. 2022, 2003.07258), ``(G,)``.

    Pitfall: an object that fills the picture is found by any map.
    """
    order = located.flatten(1).argsort(dim=1, descending=True, stable=True)
    size = objects.sum((1, 2))
    counted = torch.arange(order.shape[1], device=order.device) < size[:, None]
    hits = (objects.flatten(1).gather(1, order) & counted).sum(1)
    return hits / size.clamp(min=1)
