"""The centre of the image: a control that uses neither image nor network."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


@explainer("center", forwards=lambda backbone, options: 0.1, class_blind=True, control=True)
def center(fp: ForwardPass) -> Tensor:
    """``1 - distance to the image centre`` (TorchRay's centre baseline; photographers' subjects are in the middle).

    The sides of the map are those of the feature map, made odd by one more cell where they are even, so that its one
    maximum is the exact centre at any size. Cost: nothing beside the shared forward.
    """
    h, w = (side | 1 for side in fp.features.shape[2:])
    y = torch.linspace(-1, 1, h, device=fp.features.device)
    x = torch.linspace(-1, 1, w, device=fp.features.device)
    distance = (y[:, None] ** 2 + x[None, :] ** 2).sqrt()
    return (1 - distance).expand(len(fp), h, w)
