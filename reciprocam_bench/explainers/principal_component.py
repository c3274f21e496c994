"""The first principal component of a map, for Eigen-CAM and what is made like it."""

import torch
from torch import Tensor


def first_component(maps: Tensor, centred: bool = False) -> Tensor:
    """Projection of every position's vector on the first right singular vector, ``(N, C, h, w) -> (N, h, w)``.

    A singular vector has no sign; the one is taken that agrees with the sum over channels.
    """
    n, _, h, w = maps.shape
    cells = maps.flatten(2).transpose(1, 2)  # (N, h*w, C)
    finite = cells.isfinite().all(2).all(1)
    # One number that is not finite would fail the whole batch; half precision has no decomposition.
    cells = cells.to(torch.promote_types(cells.dtype, torch.float32)).nan_to_num(0.0, 0.0, 0.0)
    rows = cells - cells.mean(1, keepdim=True) if centred else cells
    projected = _projected(rows)
    agreement = (projected * cells.sum(2)).sum(1, keepdim=True)
    turned = torch.where(agreement < 0, -projected, projected)
    return torch.where(finite[:, None], turned, torch.nan).view(n, h, w).to(maps.dtype)


def _projected(rows: Tensor) -> Tensor:
    """``rows (N, P, C)`` on their first right singular vector, ``(N, P)``, up to its sign.

    By the eigenvectors of the smaller of ``A A^T`` and ``A^T A``: a decomposition of ``A`` itself takes a tenth of a
    ResNet-50's forward pass.
    """
    if rows.shape[1] > rows.shape[2]:
        return torch.einsum("npc,nc->np", rows, torch.linalg.eigh(rows.mT @ rows).eigenvectors[:, :, -1])
    values, vectors = torch.linalg.eigh(rows @ rows.mT)
    return vectors[:, :, -1] * values[:, -1:].clamp_min(0).sqrt()
