"""SS-CAM: Score-CAM with its scores averaged over noisy masks."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from reciprocam_bench.backbones.backbone import moved
from reciprocam_bench.explainers.channel_scores import Change, Variant, channel_weights, forwards_of
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.noise import Seed, generators
from reciprocam_bench.explainers.registry import explainer


@explainer("sscam", forwards=lambda backbone, options: options.get("samples", 35) * forwards_of(backbone), random=True)
def sscam(
    fp: ForwardPass,
    *,
    samples: Annotated[int, Field(ge=1)] = 35,
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0,
    variant: Variant = "paper",
    seed: Seed = 0,
) -> Tensor:
    """``ReLU(sum_k s_k A_k)``, ``s_k = mean_i score(x * (minmax(upsample(A_k)) + d_i))`` (Wang et al., 2006.14255).

    ``d_i`` is Gaussian noise at every pixel: the paper's first form, smoothing of the feature map. Within a sample the
    noise is one for all channels of an image, so that channels are compared under equal noise.

    Cost: ``samples`` times that of Score-CAM. No gradients.

    Args:
        fp: the forward pass.
        samples: noisy masks of each channel (35 as in torch-cam).
        std: of the noise, in units of the mask (2 as in torch-cam).
        variant: whose Score-CAM is smoothed, as in `scorecam`.
        seed: of the noise, which is the same for the same image and class in any batch and run.
    """
    size = (samples, *fp.images.shape[2:])
    drawn = torch.stack([torch.randn(size, generator=g) for g in generators(fp, seed, "sscam")])
    noise = std * moved(drawn, fp.images.device, fp.images.dtype)
    changes = [_add(noise[:, i]) for i in range(samples)]
    return torch.einsum("nchw,nc->nhw", fp.features, channel_weights(fp, variant, changes=changes)).relu()


def _add(noise: Tensor) -> Change:
    """Add an image's own noise ``(N, H, W)`` to its masks."""
    return lambda masks, images: masks + noise[images, None]
