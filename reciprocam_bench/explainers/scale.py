"""Min-max scaling, as masks and fused maps need it."""

import torch
from torch import Tensor


def min_max(values: Tensor, over: tuple[int, ...]) -> Tensor:
    """Scale to [0, 1] over the given axes; what is constant there becomes 0."""
    low, high = values.amin(over, keepdim=True), values.amax(over, keepdim=True)
    return (values - low) / torch.where(high > low, high - low, 1.0)
