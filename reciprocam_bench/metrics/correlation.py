"""Correlations of rows, batched on the device."""

import torch
from torch import Tensor


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the rows of ``(N, n)``, ``(N,)`` in [-1, 1]; NaN where a row is constant."""
    constant = (a.amax(1) == a.amin(1)) | (b.amax(1) == b.amin(1))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    norm = a.norm(dim=1) * b.norm(dim=1)
    defined = ~constant & (norm > 0)
    found = (a * b).sum(1) / norm.where(defined, norm.new_tensor(1.0))
    # Rounding can push a perfect correlation past 1.
    return found.clamp(-1, 1).where(defined, found.new_tensor(torch.nan))


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman correlation of the rows of ``(N, n)``, ``(N,)``: Pearson's of their ranks, ties at their mean rank.

    NaN where a row is constant, or holds a value that is not finite and has no rank.
    """
    found = pearson(ranks(a), ranks(b))
    ordered = a.isfinite().all(1) & b.isfinite().all(1)
    return found.where(ordered, found.new_tensor(torch.nan))


def ranks(rows: Tensor) -> Tensor:
    """The rank of each value in its row, from 0 on, ties at their mean; ``(N, n)``, float64 where the device has it."""
    rows = rows.contiguous()
    ordered = rows.sort(dim=1).values
    below, upto = (torch.searchsorted(ordered, rows, right=right) for right in (False, True))
    return (below + upto - 1).to(torch.float32 if rows.device.type == "mps" else torch.float64) / 2
