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


First = Literal["most", "least"]


class Road:
    """What the network answers as pixels are removed and imputed (`impute`); each share is asked about once.

    ``most``: the most salient share of the pixels is removed, ``least``: all but it. Ties are broken by noise of 1e-4
    on the map; imputed pixels get noise of 0.01 of the range of a picture's values. Both belong to image and class.

    Args:
        fp: the forward pass the maps explain.
        saliency: normalised maps at image size, ``(N, H, W)``.
        ask: the network's answer to changed images.
    """

    def __init__(self, fp: ForwardPass, saliency: Tensor, ask: Ask) -> None:
        self._fp, self._saliency, self._ask = fp, saliency, ask
        self._answers: dict[tuple[First, float], Tensor] = {}

    def __call__(self, first: First, shares: Sequence[float]) -> Tensor:
        """Mean class probability over the shares, ``(N,)``."""
        lacking = [share for share in shares if (first, share) not in self._answers]
        if lacking:
            found = self._asked(first, lacking).unbind(1)
            self._answers.update({(first, share): answer for share, answer in zip(lacking, found, strict=True)})
        return torch.stack([self._answers[first, share] for share in shares], dim=1).mean(1)

    def _asked(self, first: First, shares: Sequence[float]) -> Tensor:
        fp, saliency = self._fp, self._saliency
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

        return answers(self._ask, len(fp), changed, shares)
