"""A method and a metric of one's own."""

from typing import Annotated

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
