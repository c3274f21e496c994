"""Eigen-CAM: the first principal component of the feature map."""

from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.principal_component import first_component
from reciprocam_bench.explainers.registry import explainer


@explainer("eigencam", class_blind=True)
def eigencam(fp: ForwardPass, *, centred: bool = False) -> Tensor:
    """``A v_1`` with ``A = U S V^T`` over positions (Muhammad & Yeasin 2020, arXiv 2008.00299). Knows no class.

    Cost: the shared forward and a singular value decomposition. No gradients.

    Args:
        fp: the forward pass.
        centred: subtract each channel's mean first, as pytorch-grad-cam does; the paper does not.
    """
    return first_component(fp.features, centred)
