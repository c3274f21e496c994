"""Element-wise Grad-CAM: the positive part of gradient times activation, channel by channel."""

from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.registry import explainer


@explainer("gradcamelementwise", gradients=True)
def gradcamelementwise(fp: ForwardPass) -> Tensor:
    """``sum_k ReLU(g_k A_k)``, ``g = d logit_c / dA`` (as in pytorch-grad-cam; no paper of its own).

    Unlike HiResCAM no channel can cancel another. Cost: the shared forward and a backward pass of the head. Needs
    gradients.
    """
    return (head_gradients(fp) * fp.features).relu().sum(1)
