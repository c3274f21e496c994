"""Average drop in deletion: how much confidence is lost when everything but the explanation is seen."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.perturbed import Ask
from reciprocam_bench.metrics.registry import metric


@metric("average_drop_in_deletion", title="ADD", higher_is_better=True, forwards=1, aliases=("add",))
def average_drop_in_deletion(saliency: Tensor, probability: Tensor, mask: Ask, ask: Ask) -> Tensor:
    """``max(0, y - p(x (1 - M))) / y`` (Jung and Oh 2021; as in ShapleyCAM), ``(N,)`` in [0, 1].

    A probability that has underflowed to 0 cannot drop: the value is 0.

    Pitfall: a map that marks everything deletes everything.
    """
    rows = torch.arange(len(saliency), device=saliency.device)
    drop = (probability - ask(mask(1 - saliency, rows), rows)).clamp(min=0)
    return drop / probability.where(probability > 0, probability.new_tensor(1.0))
