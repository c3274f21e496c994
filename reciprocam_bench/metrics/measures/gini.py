"""Gini index: how unequally a map spreads over the picture."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("gini", title="Gini", higher_is_better=True)
def gini(explanation: Tensor) -> Tensor:
    """``sum (2 i - n - 1) a_i / (n sum a)``, a the n values in rising order (Chalasani et al. 2020), ``(N,)``.

    They are the absolute values of the normalised map plus 1e-7, as in Quantus: 0 for a map that marks nothing.

    Pitfall: it knows nothing of the network; a single bright pixel anywhere is perfect.
    """
    values = (explanation.abs().flatten(1) + 1e-7).sort(dim=1).values
    count = values.shape[1]
    weights = 2 * torch.arange(1, count + 1, device=values.device) - count - 1
    return (weights * values).sum(1) / (count * values.sum(1))
