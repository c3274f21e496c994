"""What the network answers to images whose pixels are removed by rank and imputed from the others."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.noise import generators
from reciprocam_bench.metrics.imputation import impute
from reciprocam_bench.metrics.perturbed import Ask, answers, pixel_ranks

_SEED = 0
_TIES, _NOISE = 1e-4, 0.01


def road_scores(
    fp: ForwardPass, saliency: Tensor, ask: Ask, shares: Sequence[float], first: Literal["most", "least"]
) -> Tensor:
    """Mean class probability over the shares, ``(N,)``, as pixels are removed and imputed (`impute`).

    ``most``: the most salient share of the pixels is removed, ``least``: all but it. Ties are broken by noise of 1e-4
    on the map; imputed pixels get noise of 0.01 of the range of a picture's values. Both belong to image and class.
    """
    std = torch.tensor(fp.backbone.preprocessing.std).view(-1, 1, 1)
    draws = generators(fp, _SEED)
    ties = torch.stack([torch.randn(saliency.shape[1:], generator=g) for g in draws]).to(saliency)
    noise = torch.stack([torch.randn(fp.images.shape[1:], generator=g) / std for g in draws]).to(fp.images)
    ranks, pixels = pixel_ranks(saliency + _TIES * ties), saliency[0].numel()

    def changed(share: float) -> Tensor:
        count = round(share * pixels)
        # One pixel at least is left to impute from.
        missing = ranks < min(count, pixels - 1) if first == "most" else ranks >= max(count, 1)
        return impute(fp.images, missing) + _NOISE * noise * missing[:, None]

    return answers(ask, len(fp), changed, shares).mean(1)
