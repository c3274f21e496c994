"""Fake-CAM: a control that explains nothing and hides nothing."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


@explainer("ones", aliases=("fakecam",), forwards=lambda backbone, options: 0.1, class_blind=True, control=True)
def ones(fp: ForwardPass) -> Tensor:
    """1 at every pixel of the image and 0 in the top left one, ``(N, H, W)`` (Poppi et al. 2021, arXiv 2104.10252).

    The masked image is the image, so average drop is near 0 although nothing is explained. The one dark pixel keeps
    the map from being constant. Cost: nothing beside the shared forward.
    """
    maps = torch.ones(len(fp), *fp.images.shape[2:], device=fp.images.device)
    maps[:, 0, 0] = 0
    return maps
