"""CAM: the classifier's own weights, applied at every position."""

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import LinearHead
from reciprocam_bench.explainers.closed_form import needs_linear_head
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


def cam_class_maps(fp: ForwardPass) -> Tensor:
    """CAM of every class, ``(N, K, h, w)``."""
    return torch.einsum("nchw,kc->nkhw", fp.features, _linear(fp).weight)


@explainer("cam", check=needs_linear_head, class_maps=cam_class_maps)
def cam(fp: ForwardPass) -> Tensor:
    """``M_c = sum_k w_kc A_k`` (Zhou et al. 2016, arXiv 1512.04150). No ReLU, no bias. Cost: the shared forward."""
    weights = _linear(fp).weight[fp.classes]  # (N, C)
    return torch.einsum("nchw,nc->nhw", fp.features, weights)


def _linear(fp: ForwardPass) -> LinearHead:
    needs_linear_head(fp.backbone, {})
    assert fp.backbone.linear is not None
    return fp.backbone.linear
