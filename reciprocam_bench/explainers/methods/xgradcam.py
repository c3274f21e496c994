"""XGrad-CAM: gradients averaged with the activations as weights."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.registry import explainer

# Channels that are off sum to 0; they add nothing to the map whatever their weight. Features of both signs can sum to
# almost 0 too, and then weigh far too much: the method is made for those behind a ReLU.
_EPSILON = 1e-7


@explainer("xgradcam", gradients=True)
def xgradcam(fp: ForwardPass) -> Tensor:
    """``ReLU(sum_k a_k A_k)``, ``a_k = sum_ij g_kij A_kij / sum_ij A_kij`` (Fu et al. 2020, arXiv 2008.02312).

    ``g = d logit_c / dA``; 1e-7 is added to the denominator, as in pytorch-grad-cam. Cost: the shared forward and a
    backward pass of the head. Needs gradients.
    """
    products = (head_gradients(fp) * fp.features).sum((2, 3))  # (N, C)
    weights = products / (fp.features.sum((2, 3)) + _EPSILON)
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
