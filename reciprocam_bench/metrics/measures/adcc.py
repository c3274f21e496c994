"""ADCC: average drop, coherency and complexity in one number."""

import torch
from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric(
    "adcc",
    title="ADCC",
    higher_is_better=True,
    aggregation="harmonic-mean",
    terms=("coherency", "1 - complexity", "1 - average_drop"),
)
def adcc(average_drop: Tensor, coherency: Tensor, complexity: Tensor) -> Tensor:
    """``3 / (1/coherency + 1/(1 - complexity) + 1/(1 - drop))`` (Poppi et al. 2021), in [0, 1], any shape.

    0 where a term is 0, the limit of the harmonic mean. The published tables apply it to the data set means.

    Pitfall: the mean of per-image values is another number, and not what papers print.
    """
    terms = torch.stack([coherency, 1 - complexity, 1 - average_drop])
    positive = (terms > 0).all(0)
    inverse = (1 / terms.where(positive, terms.new_tensor(1.0))).sum(0)
    return (3 / inverse).where(positive, terms.new_tensor(0.0))
