"""Drop and increase of the most salient share of the pixels alone."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.metrics.measures.average_drop import average_drop
from reciprocam_bench.metrics.measures.increase import increase
from reciprocam_bench.metrics.perturbed import Ask, pixel_ranks
from reciprocam_bench.metrics.registry import metric

Share = Annotated[float, Field(gt=0, le=1)]


@metric("top_drop", title="Top drop", higher_is_better=False, forwards=1)
def top_drop(saliency: Tensor, probability: Tensor, mask: Ask, ask: Ask, *, keep: Share = 0.5) -> Tensor:
    """Average drop where the map keeps the share ``keep`` of its pixels, the others are 0 (L-CAM, Gkartzonika 2022).

    Their tables have 1, 0.5 and 0.15. The kept values stay what they are. ``(N,)`` in [0, 1].

    Pitfall: the kept values stay what they are: a faint map drops more than a bright one of the same ranking.
    """
    return average_drop(probability, _seen(saliency, mask, ask, keep))


@metric("top_increase", title="Top increase", higher_is_better=True, forwards=1)
def top_increase(saliency: Tensor, probability: Tensor, mask: Ask, ask: Ask, *, keep: Share = 0.5) -> Tensor:
    """Increase where the map keeps the share ``keep`` of its pixels, as `top_drop`; ``(N,)`` of 0 and 1.

    Pitfall: the kept values stay what they are: a faint map hardly increases anything.
    """
    return increase(probability, _seen(saliency, mask, ask, keep))


def _seen(saliency: Tensor, mask: Ask, ask: Ask, keep: float) -> Tensor:
    """The class probability on the image under the highest ``keep`` of the map."""
    count = math.ceil(keep * saliency[0].numel() - 1e-9)  # 0.07 * 100 is a little more than 7
    kept = pixel_ranks(saliency) < count
    rows = torch.arange(len(saliency), device=saliency.device)
    return ask(mask(saliency * kept, rows), rows)
