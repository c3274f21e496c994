"""Eigen-CAM: the first principal component of the feature map."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


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
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)  # (N, min(h*w, C), C)
    projected = torch.einsum("npc,nc->np", rows, directions[:, 0])
    agreement = (projected * cells.sum(2)).sum(1, keepdim=True)
    turned = torch.where(agreement < 0, -projected, projected)
    return torch.where(finite[:, None], turned, torch.nan).view(n, h, w).to(maps.dtype)


@explainer("eigencam")
def eigencam(fp: ForwardPass, *, centred: bool = False) -> Tensor:
    """``A v_1`` with ``A = U S V^T`` over positions (Muhammad & Yeasin 2020, arXiv 2008.00299). Knows no class.

    Cost: the shared forward and a singular value decomposition. No gradients.

    Args:
        fp: the forward pass.
        centred: subtract each channel's mean first, as pytorch-grad-cam does; the paper does not.
    """
    return first_component(fp.features, centred)
