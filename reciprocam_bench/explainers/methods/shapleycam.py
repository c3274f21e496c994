"""ShapleyCAM: Grad-CAM's weights with their second-order correction."""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from reciprocam_bench.explainers.forward_pass import ForwardPass, differentiable, of_class, usable
from reciprocam_bench.explainers.registry import explainer


def residual_softmax(logits: Tensor, classes: Tensor) -> Tensor:
    """ReST: the class logit plus its log-probability, ``(N, K), (N,) -> (N,)``."""
    return of_class(logits + logits.log_softmax(1), classes)


def residual_sigmoid(logits: Tensor, classes: Tensor) -> Tensor:
    """The same for a network whose classes do not exclude one another."""
    return of_class(logits + F.logsigmoid(logits), classes)


@explainer("shapleycam", gradients=True, own_question=True)
def shapleycam(fp: ForwardPass, *, utility: Literal["rest", "logit"] = "rest") -> Tensor:
    """``ReLU(sum_k a_k A_k)``, ``a_k = mean_ij (g - H A / 2)_kij`` (Cai 2025, arXiv 2501.06261).

    ``g`` and ``H`` are gradient and Hessian of the utility in ``A``: the Shapley value of a second-order expansion.
    Behind a pooled linear head the Hessian of the logit is 0, and ``utility: logit`` is Grad-CAM.

    Cost: the shared forward and two backward passes of the head. Needs gradients.

    Args:
        fp: the forward pass.
        utility: ``rest`` (the paper's: logit plus log-probability, of a sigmoid on a multi-label network) or ``logit``.
    """
    if utility == "rest":
        fp = replace(fp, score=residual_sigmoid if fp.backbone.multi_label else residual_softmax)
    # The fused attention kernels have no second derivative.
    with differentiable(fp.features) as features, sdpa_kernel(SDPBackend.MATH):
        # Nor has compiled code.
        score = fp.score(fp.uncompiled.head(features), usable(fp.classes)).sum()
        (gradients,) = torch.autograd.grad(score, features, create_graph=True)
        curvature = torch.zeros_like(gradients)
        if gradients.requires_grad:  # piecewise linear: no second derivative to ask for
            found = torch.autograd.grad(gradients, features, grad_outputs=usable(fp.features), allow_unused=True)[0]
            curvature = curvature if found is None else found
    weights = (gradients - curvature / 2).mean((2, 3)).detach()  # (N, C)
    return torch.einsum("nchw,nc->nhw", fp.features, weights).relu()
