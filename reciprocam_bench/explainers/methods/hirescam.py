"""HiResCAM: gradient times activation at every position, not averaged first."""

from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.registry import explainer


@explainer("hirescam", gradients=True)
def hirescam(fp: ForwardPass) -> Tensor:
    """``ReLU(sum_k g_k A_k)``, ``g = d logit_c / dA`` (Draelos & Carin 2020, arXiv 2011.08891).

    Behind a pooled linear head it is Grad-CAM. Cost: the shared forward and a backward pass of the head. Needs
    gradients.
    """
    return (head_gradients(fp) * fp.features).sum(1).relu()
