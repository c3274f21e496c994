"""Grad-CAM++: gradients weighted by how much each position raises the score."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.pixel_weights import pixel_weights
from reciprocam_bench.explainers.registry import explainer


@explainer("gradcam++", aliases=("gradcampp",), gradients=True)
def gradcampp(fp: ForwardPass) -> Tensor:
    """``ReLU(sum_k w_k A_k)``, ``w_k = sum_ij a_kij ReLU(g_kij)`` (Chattopadhay et al. 2018, arXiv 1710.11063).

    ``g = d logit_c / dA`` and ``a = g^2 / (2 g^2 + sum_ab A_kab g^3)``. The paper differentiates ``exp(logit)``, whose
    higher derivatives are powers of ``g``; the common factor ``exp(logit)`` only scales the map and is left out.

    Cost: the shared forward and a backward pass of the head. Needs gradients.
    """
    gradients = head_gradients(fp)  # (N, C, h, w)
    weights = (pixel_weights(fp.features, gradients**2, gradients**3) * gradients.relu()).sum((2, 3))  # (N, C)
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
