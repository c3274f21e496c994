"""Masks of one position: what the Recipro-CAM family lays on a map of features, tokens or image patches."""

from typing import Literal

import torch
from torch import Tensor

Mask = Literal["one-hot", "gaussian"]
Score = Literal["softmax", "logit"]

_KERNEL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
# The largest weight is 1/4 and the weights sum to 1, so that pooled features keep the scale of one position.
GAUSSIAN = _KERNEL / _KERNEL.sum()


def spatial_masks(mask: Mask, h: int, w: int, positions: Tensor | None = None) -> Tensor:
    """The weights around each position (index, ``(M,)``), ``(M, h, w)``; of all positions in turn if none are named.

    ``one-hot``: 1 there. ``gaussian``: ``[1 2 1; 2 4 2; 1 2 1] / 16`` there and beside it, cut at the border.
    """
    positions = torch.arange(h * w) if positions is None else positions
    rows, columns = _along(mask, positions // w, h), _along(mask, positions % w, w)
    return rows[:, :, None] * columns[:, None]


def _along(mask: Mask, centres: Tensor, length: int) -> Tensor:
    """One side of the masks, ``(M, length)``: the kernel is ``[1 2 1] / 4`` times itself."""
    distance = (torch.arange(length, device=centres.device) - centres[:, None]).abs()
    near = (distance == 0).float()
    return near if mask == "one-hot" else near / 2 + (distance == 1) / 4
