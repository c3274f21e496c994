"""IS-CAM: Score-CAM with its scores averaged while the masks fade in."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.explainers.channel_scores import Change, Variant, channel_weights, forwards_of
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer

Steps = Literal["even", "accumulated"]


def coefficients(samples: int, steps: Steps) -> list[float]:
    """What the masks are multiplied with: ``i/n``, or the running sums of these."""
    even = [(i + 1) / samples for i in range(samples)]
    return even if steps == "even" else [sum(even[: i + 1]) for i in range(samples)]


@explainer("iscam", forwards=lambda backbone, options: options.get("samples", 10) * forwards_of(backbone))
def iscam(
    fp: ForwardPass,
    *,
    samples: Annotated[int, Field(ge=1)] = 10,
    steps: Steps = "even",
    variant: Variant = "paper",
) -> Tensor:
    """``ReLU(sum_k s_k A_k)``, ``s_k = mean_i score(x * i/n minmax(upsample(A_k)))`` (Naidu et al. 2020, 2010.03023).

    An integral over the strength of the mask, taken in n steps i. Cost: ``samples`` times that of Score-CAM. No
    gradients.

    Args:
        fp: the forward pass.
        samples: steps of the integral (the paper's 10).
        steps: ``even`` (masks stay in [0, 1]) or ``accumulated`` (torch-cam: the steps add up, to 5.5 with 10 samples).
        variant: whose Score-CAM is integrated, as in `scorecam`.
    """
    changes = [_times(c) for c in coefficients(samples, steps)]
    return torch.einsum("nchw,nc->nhw", fp.features, channel_weights(fp, variant, changes=changes)).relu()


def _times(coefficient: float) -> Change:
    return lambda masks, images: masks * coefficient
