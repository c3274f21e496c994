"""Faster Score-CAM: an approximation of Score-CAM that scores only the channels that vary most."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.explainers.channel_scores import Variant, channel_weights, forwards_of
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


@explainer("fasterscorecam", forwards=lambda backbone, options: 1 + forwards_of(backbone, options.get("channels", 10)))
def fasterscorecam(
    fp: ForwardPass, *, channels: Annotated[int, Field(ge=1)] = 10, variant: Variant = "paper"
) -> Tensor:
    """An approximation of Score-CAM: only the ``channels`` of largest variance in each image are scored.

    ``ReLU(sum_k s_k A_k)`` over those k (tabayashi0117/Score-CAM, "Faster-Score-CAM", 10 channels); with as many
    channels as there are it is Score-CAM. Cost: one full forward a channel. No gradients.

    Args:
        fp: the forward pass.
        channels: how many channels are scored.
        variant: whose Score-CAM is approximated, as in `scorecam`.
    """
    return torch.einsum("nchw,nc->nhw", fp.features, channel_weights(fp, variant, channels)).relu()
