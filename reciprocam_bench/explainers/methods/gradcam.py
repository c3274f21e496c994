"""Grad-CAM: channels weighted by their mean gradient."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.registry import explainer


@explainer("gradcam", gradients=True)
def gradcam(fp: ForwardPass) -> Tensor:
    """``ReLU(sum_k a_k A_k)``, ``a_k = mean_ij d logit_c / dA_kij`` (Selvaraju et al. 2017, arXiv 1610.02391).

    Cost: the shared forward and a backward pass of the head. Needs gradients.
    """
    weights = head_gradients(fp).mean((2, 3))  # (N, C)
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
