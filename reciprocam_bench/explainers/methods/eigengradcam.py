"""Eigen-Grad-CAM: the first principal component of gradient times activation."""

from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass, head_gradients
from reciprocam_bench.explainers.principal_component import first_component
from reciprocam_bench.explainers.registry import explainer


@explainer("eigengradcam", gradients=True)
def eigengradcam(fp: ForwardPass, *, centred: bool = False) -> Tensor:
    """``(g * A) v_1``, ``g = d logit_c / dA`` (Eigen-CAM made class-specific, as in pytorch-grad-cam).

    Cost: the shared forward, a backward pass of the head and a singular value decomposition. Needs gradients.

    Args:
        fp: the forward pass.
        centred: subtract each channel's mean first, as pytorch-grad-cam does.
    """
    return first_component(head_gradients(fp) * fp.features, centred)
