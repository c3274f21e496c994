"""LIFT-CAM: channels weighted by their DeepLIFT contribution to the logit."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.deeplift import RescaleRule
from reciprocam_bench.explainers.forward_pass import ForwardPass, differentiable, usable
from reciprocam_bench.explainers.registry import explainer


def contributions(fp: ForwardPass) -> Tensor:
    """DeepLIFT's contribution of every activation to the class's score, against features of 0, ``(N, C, h, w)``."""
    rows = torch.arange(len(fp), device=fp.features.device).repeat(2)
    with differentiable(fp.features) as features:
        both = torch.cat([features, torch.zeros_like(features)])
        with RescaleRule(len(fp)):
            logits = fp.uncompiled.head(both, rows)[: len(fp)]
        multipliers = torch.autograd.grad(fp.score(logits, usable(fp.classes)).sum(), features)[0]
    return multipliers * fp.features


@explainer("liftcam", gradients=True)
def liftcam(fp: ForwardPass) -> Tensor:
    """``ReLU(sum_k a_k A_k)``, ``a_k = sum_ij C(A_kij)`` (Jung & Oh 2021, arXiv 2102.05228).

    ``C`` is the DeepLIFT contribution to the class logit with the rescale rule and features of 0 as the baseline, an
    approximation of the SHAP values of the channels. Behind a pooled linear head ``a_k = W_ck mean(A_k)`` is exact.
    The rule is for activations of one value. Where values meet (products, norms, softmax, maxima), it is gradient times
    activation.

    Cost: the shared forward, and a forward and backward pass of the head. Needs gradients.
    """
    weights = contributions(fp).sum((2, 3))  # (N, C)
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
