"""A method and two metrics of one's own."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench import ForwardPass, explainer, metric


@explainer("normcam")
def normcam(fp: ForwardPass, *, power: Annotated[float, Field(gt=0)] = 2.0) -> Tensor:
    """``(sum_k |A_k|^p)^(1/p)``: how strongly each position is active, whatever the class.

    Args:
        fp: images, features ``(N, C, h, w)``, logits ``(N, K)``, classes ``(N,)`` and the backbone they come from.
        power: p.
    """
    return fp.features.abs().pow(power).sum(1).pow(1 / power)


@metric("spread", higher_is_better=False)
def spread(saliency: Tensor) -> Tensor:
    """Share of the image where the normalised map ``(N, H, W)`` is above one half, ``(N,)``."""
    return (saliency > 0.5).float().mean((1, 2))


@metric("masked_share", title="Masked", higher_is_better=False, forwards=lambda options: options.get("steps", 28))
def masked_share(
    images: Tensor, saliency: Tensor, ask: Callable[..., Tensor], *, steps: Annotated[int, Field(ge=1)] = 28
) -> Tensor:
    """Mean probability of the class while the most salient k/steps of the pixels are masked, k = 1 to steps."""
    rank = saliency.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1).view_as(saliency)
    rows = torch.arange(len(images), device=images.device)
    left = (rank[:, None] >= saliency[0].numel() * k / steps for k in range(1, steps + 1))
    return torch.stack([ask(images * seen, rows) for seen in left]).mean(0)
