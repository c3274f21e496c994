"""LayerCAM: every position weighted by its own positive gradient."""

from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.registry import explainer


@explainer("layercam", gradients=True)
def layercam(fp: ForwardPass) -> Tensor:
    """``ReLU(sum_k ReLU(g_k) A_k)``, ``g = d logit_c / dA`` (Jiang et al. 2021, 10.1109/TIP.2021.3089943).

    Meant for early layers too (``backbone.layer``). Cost: the shared forward and a backward pass of the head. Needs
    gradients.
    """
    return (head_gradients(fp).relu() * fp.features).sum(1).relu()
