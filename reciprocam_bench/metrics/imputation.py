"""ROAD's noisy linear imputation: missing pixels become weighted means of their neighbours, all of them at once.

For every missing pixel i, ``sum_j w_ij (x_i - x_j) = 0`` over its neighbours in the image, with w twice as large for an
edge as for a corner (Rong et al. 2022, arXiv 2202.00449). The system is symmetric and diagonally dominant: conjugate
gradients solve it for a stack of images, preconditioned by a multigrid cycle, without which large holes take hundreds
of iterations.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST = 200


def impute(images: Tensor, missing: Tensor, tolerance: float = 5e-5) -> Tensor:
    """Images ``(M, C, H, W)`` with their missing pixels, ``(M, H, W)`` bool, replaced; exact to about ``tolerance``.

    Each image must have a pixel that is not missing.
    """
    holes = missing[:, None].to(images)
    levels = _levels(holes)
    found, direction = torch.zeros_like(images), torch.zeros_like(images)
    residual = _neighbours(images * (1 - holes)) * holes
    before = images.new_ones(images.shape[:2])
    for _ in range(_MOST):
        step = _cycle(levels, residual)  # about how far the solution is
        if float(step.abs().amax()) < tolerance:
            break
        product = (residual * step).sum((2, 3))
        direction = step + _ratio(product, before) * direction
        changed = levels[0].apply(direction)
        length = _ratio(product, (direction * changed).sum((2, 3)))
        found, residual = found + length * direction, residual - length * changed
        before = product
    return torch.where(missing[:, None], found, images)


@dataclass(frozen=True)
class _Level:
    """The system on one grid: where values are missing, and the sum of each pixel's weights (0 where none is)."""

    holes: Tensor
    weights: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """The matrix times values that are 0 where nothing is missing."""
        return self.weights * values - _neighbours(values) * self.holes

    def smooth(self, residual: Tensor) -> Tensor:
        """One step of Jacobi's from 0, which on this stencil leaves a third of what is rough."""
        return residual / self.weights.clamp(min=1)


def _levels(holes: Tensor) -> list[_Level]:
    """The grids from fine to coarse; a coarse pixel is missing where all its pixels are."""
    found = []
    while True:
        everywhere = _neighbours(torch.ones_like(holes[:1]))
        found.append(_Level(holes, everywhere * holes))
        if min(holes.shape[2:]) <= 2:
            return found
        holes = 1 - F.max_pool2d(1 - holes, 2, ceil_mode=True)
        if not holes.any():
            return found


def _cycle(levels: list[_Level], residual: Tensor) -> Tensor:
    """An approximate solution: a symmetric multigrid cycle with one smoothing step before and after."""
    fine, coarser = levels[0], levels[1:]
    found = fine.smooth(residual)
    if coarser:
        height, width = residual.shape[2:]
        left = F.avg_pool2d(residual - fine.apply(found), 2, ceil_mode=True, divisor_override=1)
        coarse = _cycle(coarser, left * coarser[0].holes)
        found = found + coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
    return found + fine.smooth(residual - fine.apply(found))


def _neighbours(values: Tensor) -> Tensor:
    """The weighted sum of each pixel's neighbours; those outside the image are none."""
    channels = values.shape[0] * values.shape[1]
    kernel = values.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]).expand(channels, 1, 3, 3)
    # As channels of one image: several times faster on a CPU than as a stack. Without cuDNN, which may round to TF32.
    with torch.backends.cudnn.flags(enabled=False):
        return F.conv2d(values.reshape(1, channels, *values.shape[2:]), kernel, padding=1, groups=channels).view_as(
            values
        )


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Ratios of each channel's numbers; 0 where there is nothing left to solve."""
    return (above / below.where(below > 0, below.new_tensor(1.0)))[..., None, None]
