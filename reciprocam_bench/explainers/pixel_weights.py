"""Grad-CAM++'s weight of each position, of gradients or of their means."""

import torch
from torch import Tensor


def pixel_weights(features: Tensor, squares: Tensor, cubes: Tensor) -> Tensor:
    """``g^2 / (2 g^2 + sum_ab A_ab g^3)`` at each position, 0 where that is 0 below; all ``(N, C, h, w)``."""
    below = 2 * squares + features.sum((2, 3), keepdim=True) * cubes
    return torch.where(below != 0, squares / torch.where(below != 0, below, 1.0), 0.0)
