"""Score-CAM: channels weighted by what the network says of the image seen through each of them."""

import torch
from torch import Tensor

from reciprocam_bench.explainers.channel_scores import Variant, channel_weights, forwards_of
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


@explainer("scorecam", forwards=lambda backbone, options: forwards_of(backbone))
def scorecam(fp: ForwardPass, *, variant: Variant = "paper") -> Tensor:
    """``ReLU(sum_k s_k A_k)``, ``s_k`` the score of ``x * minmax(upsample(A_k))`` (Wang et al. 2020, 1910.01279).

    Cost: one full forward per channel that is not constant and whose mask no other channel shares. No gradients.

    Args:
        fp: the forward pass.
        variant: what the libraries do not agree on.
            ``paper``: the authors' code; the weight is the class probability, constant channels are skipped.
            ``torch-cam`` (0.3.2 and later): masks normalised before upsampling; weights are a softmax over channels
            of the class logits (the baseline it subtracts cancels there).
            ``grad-cam``: masks upsampled with aligned corners; softmax over channels of the class logits.

    The ReLU is taken at feature resolution; the authors' code takes it after upsampling, which is the same wherever
    the features are not negative.
    """
    return torch.einsum("nchw,nc->nhw", fp.features, channel_weights(fp, variant)).relu()
